/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PDUs, each after its length (two bytes), are fed to an entity that receives files and sends one, with the
 * time going on. What decodes can be written again and means the same; nothing is ever outside the inbox; it
 * always ends.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#include "cfdp.h"
#include "core/file.h"
#include "fuzz.h"

#define PDUS_MAX 64
#define FILE_BYTES 5000

static char dir[PATH_MAX], inbox[PATH_MAX];

static void remove_dir(void)
{
	(void)!dir_remove(dir);
}

static void make_dir(void)
{
	if (dir[0])
		return;
	snprintf(dir, sizeof(dir), "%s/perigee-fuzz-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ensure(mkdtemp(dir));
	ensure(path_format(inbox, sizeof(inbox), "%s/inbox", dir) >= 0);
	ensure(dir_make(inbox, 0755) == 0);
	atexit(remove_dir);
}

static void check_round(const uint8_t *data, size_t len)
{
	static uint8_t one[65536 + 64], two[65536 + 64];
	struct cfdp_pdu p, q;
	if (cfdp_decode(data, len, &p) < 0)
		return;
	int n = cfdp_encode(&p, one, sizeof(one));
	ensure(n > 0);
	ensure(cfdp_decode(one, (size_t)n, &q) == 0);
	ensure(cfdp_encode(&q, two, sizeof(two)) == n && memcmp(one, two, (size_t)n) == 0);
}

/* Takes out what there is to send. A limit: an entity that talks for ever on one PDU has a bug. */
static void drain(struct cfdp *e, struct mono_time now)
{
	uint8_t pdu[CFDP_PDU_BYTES_MAX];
	size_t n = 0, len;
	while ((len = cfdp_next(e, now, pdu, sizeof(pdu)))) {
		struct cfdp_pdu p;
		ensure(cfdp_decode(pdu, len, &p) == 0);
		ensure(++n < 20000);
	}
}

static void clean_inbox(void)
{
	DIR *d = opendir(inbox);
	ensure(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		ensure(cfdp_name_ok(e->d_name)); /* no unfinished file is left over */
		ensure(unlinkat(dirfd(d), e->d_name, 0) == 0);
	}
	closedir(d);
	d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		ensure(e->d_name[0] == '.' || strcmp(e->d_name, "inbox") == 0);
	closedir(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct mono_time now = {1};
	struct cfdp *e;
	make_dir();
	struct cfdp_options o = {.entity = 2, .inbox = inbox, .file_bytes_max = 100000};
	ensure(cfdp_create(&o, &e) == 0);
	struct cfdp_file f = {.name = "f", .bytes = FILE_BYTES, .destination = 1, .sequence = 1};
	f.fd = memfd_create("f", MFD_CLOEXEC);
	ensure(f.fd >= 0 && ftruncate(f.fd, FILE_BYTES) == 0);
	ensure(cfdp_send(e, &f) == 0);
	for (int i = 0; i < PDUS_MAX && len >= 2; i++) {
		size_t n = (size_t)(data[0] << 8 | data[1]);
		data += 2;
		len -= 2;
		n = n < len ? n : len;
		check_round(data, n);
		(void)cfdp_feed(e, now, data, n);
		drain(e, now);
		now.ns += 100 * NS_PER_MS;
		data += n;
		len -= n;
	}
	for (int i = 0; i < 3 && cfdp_deadline(e).ns != INT64_MAX; i++) {
		now = cfdp_deadline(e);
		drain(e, now);
	}
	cfdp_destroy(e);
	clean_inbox();
	return 0;
}
