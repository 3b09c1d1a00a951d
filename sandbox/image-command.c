/* SPDX-License-Identifier: Apache-2.0 */
/* perigee image: what a payload developer does with images. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "core/file.h"
#include "oci.h"
#include "rootfs.h"
#include "vm-check.h"

static const char help[] =
	"Usage: perigee image build NAME PROGRAM LAYOUT\n"
	"       perigee image check LAYOUT [--json]\n"
	"\n"
	"Images are OCI image layouts: folders that hold a program for one or several architectures, with "
	"digests.\n"
	"\n"
	"  build  makes the layout LAYOUT of one static PROGRAM, which becomes /NAME in the image and is "
	"what it runs.\n"
	"         Again with a program for another architecture, it adds that to the same layout.\n"
	"  check  verifies every digest, unpacks the image for this machine in a temporary folder, and says "
	"what it\n"
	"         would run; and whether it can be a unikernel, with the system calls in it that are not answered\n"
	"         there (some come with the C library and are never made: a run shows).\n"
	"\n"
	"  musl-gcc -static -O2 -I sandbox/sdk -o cloud cloud.c sandbox/sdk/perigee.c\n"
	"  perigee image build cloud cloud images/cloud\n"
	"\n"
	"Exit status: 0, 64 usage, 65 not a usable image or program, 73 the layout cannot be made.\n";

static int build(const char *name, const char *program, const char *layout)
{
	char reason[IMAGE_REASON_BYTES] = "";
	int err = image_build(name, program, layout, reason, sizeof(reason));

	if (err < 0) {
		fprintf(stderr, "perigee: %s\n", reason);
		return err == ERR_IMAGE || err == -EINVAL || err == -ENOENT ? EX_DATAERR : EX_CANTCREAT;
	}
	return 0;
}

static void print_unikernel(const struct vm_check *c)
{
	if (!c->can) {
		printf("as a unikernel: no: %s\n", c->why);
		return;
	}
	printf("as a unikernel: yes%s\n", c->n_misses ? ", unless it makes one of these system calls:" : "");
	for (size_t i = 0; i < c->n_misses; i++) {
		const struct vm_miss *m = &c->misses[i];
		printf("  %s (%u)%s%s\n", m->name ? m->name : "a call", m->number, m->in[0] ? " in " : "", m->in);
	}
}

static void add_unikernel(cJSON *j, const struct vm_check *c)
{
	cJSON *u = cJSON_AddObjectToObject(j, "unikernel"), *list = cJSON_AddArrayToObject(u, "not_answered");

	cJSON_AddBoolToObject(u, "possible", c->can);
	if (!c->can)
		cJSON_AddStringToObject(u, "reason", c->why);
	for (size_t i = 0; i < c->n_misses; i++) {
		const struct vm_miss *m = &c->misses[i];
		cJSON *miss = cJSON_CreateObject();
		cJSON_AddNumberToObject(miss, "number", m->number);
		if (m->name)
			cJSON_AddStringToObject(miss, "name", m->name);
		if (m->in[0])
			cJSON_AddStringToObject(miss, "function", m->in);
		cJSON_AddItemToArray(list, miss);
	}
}

static void print_image(const struct sandbox_image *image, bool json)
{
	CLEAN_JSON cJSON *j = NULL;
	CLEAN_FREE char *text = NULL;
	struct vm_check c;
	bool looked = vm_check(image, &c) == 0;
	cJSON *argv;

	if (!json) {
		printf("%s linux/%s runs", image->digest, machine_architecture());
		for (char **word = image->argv; *word; word++)
			printf(" %s", *word);
		putchar('\n');
		if (looked)
			print_unikernel(&c);
		return;
	}
	j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "digest", image->digest);
	cJSON_AddStringToObject(j, "architecture", machine_architecture());
	argv = cJSON_AddArrayToObject(j, "argv");
	for (char **word = image->argv; *word; word++)
		cJSON_AddItemToArray(argv, cJSON_CreateString(*word));
	if (looked)
		add_unikernel(j, &c);
	text = cJSON_Print(j);
	puts(text ? text : "{}");
}

static int check(const char *layout, bool json)
{
	char store[] = "/tmp/perigee-image-XXXXXX";
	char reason[IMAGE_REASON_BYTES] = "";
	struct sandbox_image image;
	int err;

	if (!mkdtemp(store)) {
		fprintf(stderr, "perigee: /tmp: %s\n", err_text(-errno));
		return EX_CANTCREAT;
	}
	err = image_import(layout, store, &image, reason, sizeof(reason));
	if (err < 0) {
		fprintf(stderr, "perigee: %s\n", reason);
	} else {
		print_image(&image, json);
		sandbox_image_finish(&image);
	}
	if (dir_remove(store) < 0)
		fprintf(stderr, "perigee: %s cannot be removed\n", store);
	return err < 0 ? EX_DATAERR : 0;
}

int image_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	bool json = false;

	for (int o; (o = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
		if (o == 'j') {
			json = true;
			continue;
		}
		fputs(help, o == 'h' ? stdout : stderr);
		return o == 'h' ? 0 : EX_USAGE;
	}
	argc -= optind;
	argv += optind;
	if (argc == 4 && strcmp(argv[0], "build") == 0)
		return build(argv[1], argv[2], argv[3]);
	if (argc == 2 && strcmp(argv[0], "check") == 0)
		return check(argv[1], json);
	fputs(help, stderr);
	return EX_USAGE;
}
