/* SPDX-License-Identifier: Apache-2.0 */
/* perigee keys: makes a key pair for signing batches. */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "ground.h"

int command_keys(int argc, char **argv)
{
	static const char help[] = "Usage: perigee keys PREFIX\n"
				   "\n"
				   "Makes a key pair in the minisign format: PREFIX.key, the secret key "
				   "(mode 0600, without a password: it stays\n"
				   "on the machine that signs), and PREFIX.pub, which the ground verifies "
				   "with. An existing key is never replaced.\n"
				   "Exit status: 0, 64 usage, 73 a file cannot be made.\n";
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		fputs(help, o == 'h' ? stdout : stderr);
		return o == 'h' ? 0 : EX_USAGE;
	}
	if (argc - optind != 1) {
		fputs(help, stderr);
		return EX_USAGE;
	}
	int r = keys_generate(argv[optind]);
	if (r < 0) {
		fprintf(stderr, "perigee: %s.key and %s.pub cannot be made: %s\n", argv[optind], argv[optind],
			err_text(r));
		return EX_CANTCREAT;
	}
	printf("%s.key signs (keep it secret), %s.pub verifies\n", argv[optind], argv[optind]);
	return 0;
}
