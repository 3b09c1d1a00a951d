/* SPDX-License-Identifier: Apache-2.0 */
/* perigee keys: makes a key pair for signing batches. */
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>

#include "cmd-tools.h"
#include "commands.h"
#include "core/file.h"
#include "core/json.h"
#include "ground.h"

static int print_keys(const char *prefix)
{
	char secret[PATH_MAX], public[PATH_MAX];
	CLEAN_JSON cJSON *j = cJSON_CreateObject();

	if (path_format(secret, sizeof(secret), "%s.key", prefix) < 0 ||
		path_format(public, sizeof(public), "%s.pub", prefix) < 0 ||
		!cJSON_AddStringToObject(j, "secret", secret) ||
		!cJSON_AddStringToObject(j, "public", public))
		return EX_OSERR;
	print_json(j);
	return 0;
}

int command_keys(int argc, char **argv)
{
	static const char help[] = "Usage: perigee keys PREFIX [--json]\n"
				   "\n"
				   "Makes a key pair in the minisign format: PREFIX.key, the secret key "
				   "(mode 0600, without a password: it stays\n"
				   "on the machine that signs), and PREFIX.pub, which the ground verifies "
				   "with. An existing key is never replaced.\n"
				   "Exit status: 0, 64 usage, 73 a file cannot be made.\n";
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (o == 'j') {
			json = true;
			continue;
		}
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
	if (json)
		return print_keys(argv[optind]);
	printf("%s.key signs (keep it secret), %s.pub verifies\n", argv[optind], argv[optind]);
	return 0;
}
