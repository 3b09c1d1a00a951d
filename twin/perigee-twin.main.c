/* SPDX-License-Identifier: Apache-2.0 */
/* perigee-twin: the digital twin. A table of subcommands, each in a file of its own. */
#include <string.h>
#include <sysexits.h>

#include "commands-twin.h"
#include "core/log.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{"demo", command_demo, "the sample payload from camera to ground, on this machine"},
	{"frame", command_frame, "one frame as a file, to try a workflow on"},
	{"serve", command_serve, "the cameras and sensors as IIO devices over TCP"},
};

static void usage(FILE *to)
{
	fputs("usage: perigee-twin COMMAND [options]\n\nThe digital twin of the spacecraft around Perigee. "
	      "Commands:\n",
		to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
	fputs("\nperigee-twin COMMAND --help says more.\n", to);
}

int main(int argc, char **argv)
{
	log_init("perigee-twin", LOG_LEVEL_INFO);
	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && !strcmp(argv[1], "--version")) {
		puts("perigee-twin " PERIGEE_VERSION);
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (argc >= 2)
		fprintf(stderr, "perigee-twin: no command \"%s\"\n", argv[1]);
	usage(stderr);
	return EX_USAGE;
}
