/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <string.h>
#include <sysexits.h>

#include "core/log.h"
#include "serve.h"

static const char help[] =
	"usage: perigee-broker --policy FILE [--fd N] [--verbose]\n"
	"       perigee-broker --policy FILE --check\n"
	"\n"
	"Owns the devices of a payload computer and lets payloads use them as far as the policy grants it.\n"
	"perigeed starts it, with its end of the grant protocol as descriptor N (3); by hand, only --check\n"
	"is of use: it prints what is wrong with a policy file.\n"
	"\n"
	"  --policy FILE  which devices there are, and who may do what with them\n"
	"  --fd N         descriptor of the socket to the supervisor (3)\n"
	"  --check        check the policy and exit\n"
	"  --verbose      more in the log, and what the device libraries print\n"
	"  --help, --version\n"
	"\n"
	"exit status: 0 good, or the supervisor is gone; 1 failed; 64 wrong usage; 65 the policy has "
	"mistakes\n";

struct options {
	const char *policy;
	int fd;
	bool check, verbose;
};

static int parse(int argc, char **argv, struct options *ret)
{
	static const struct option longs[] = {
		{"policy", required_argument, NULL, 'p'},
		{"fd", required_argument, NULL, 'f'},
		{"check", no_argument, NULL, 'c'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct options o = {.fd = 3};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 'p':
			o.policy = optarg;
			break;
		case 'f':
			o.fd = (int)strtol(optarg, &end, 10);
			if (end == optarg || *end || o.fd < 3) {
				fprintf(stderr, "--fd: expected a descriptor from 3, found \"%s\"\n", optarg);
				return EX_USAGE;
			}
			break;
		case 'c':
			o.check = true;
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			puts("perigee-broker " PERIGEE_VERSION);
			exit(EXIT_SUCCESS);
		default:
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "perigee-broker: unexpected \"%s\"\n", argv[optind]);
		return EX_USAGE;
	}
	if (!o.policy) {
		fputs(help, stderr);
		return EX_USAGE;
	}
	*ret = o;
	return 0;
}

static int load(const char *path, struct policy **ret_policy)
{
	struct complaints c;
	int r = complaints_init(&c, path);

	if (r < 0)
		return r;
	r = policy_load(path, &c, ret_policy);
	if (r == ERR_CHECKED)
		complaints_print(&c, stderr);
	complaints_finish(&c);
	return r;
}

int main(int argc, char **argv)
{
	struct options o;
	struct policy *policy = NULL;

	/* An idle broker is to be small: one heap, which gives back what it can. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);

	int r = parse(argc, argv, &o);
	if (r != 0)
		return r;
	log_init("perigee-broker", o.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	r = load(o.policy, &policy);
	if (r == ERR_CHECKED)
		return EX_DATAERR;
	if (r < 0) {
		log_error("%s: %s", o.policy, err_text(r));
		return EXIT_FAILURE;
	}
	if (!o.check) {
		if (fcntl(o.fd, F_SETFD, FD_CLOEXEC) < 0) {
			log_error("descriptor %d: %s: perigeed starts this program", o.fd, strerror(errno));
			r = -errno;
		} else {
			r = broker_serve(policy, o.fd, o.verbose);
			if (r < 0)
				log_error("ends: %s", err_text(r));
			/* Confined as we are, what libraries want to do at the end (libxml2's, a leak check)
			 * may not. */
			_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
		}
	}
	policy_destroy(policy);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
