/* SPDX-License-Identifier: Apache-2.0 */
/* Two entities on a simulated link, on a clock of their own: lossy, reordering, duplicating, flipping bits,
 * by seed. */
#include "data.h"

#include <dirent.h>
#include <fcntl.h>

#include "cfdp.h"

#define FLIGHT_MAX 4096

struct link_model {
	unsigned loss, dup, flip; /* percent */
	int64_t delay_ns, jitter_ns;
	bool without_crc; /* PDUs without are taken too */
	uint64_t seed;
};

struct flight {
	int64_t at_ns;
	bool to_ground;
	size_t len;
	uint8_t pdu[CFDP_PDU_BYTES_MAX];
};

struct world {
	char dir[PATH_MAX], inbox[PATH_MAX];
	struct cfdp *board, *ground;
	struct mono_time now;
	struct link_model link;
	struct flight *flight[FLIGHT_MAX];
	size_t n_flight;
	uint64_t sent, dropped;
	unsigned files, ended;
	int last_status;
	unsigned known_calls;
	bool answer_known;
};

static void on_sent(void *user, uint64_t sequence, int status)
{
	struct world *w = user;
	w->ended++;
	w->last_status = status;
}

static void on_file(void *user, const char *name, const char *path, uint64_t bytes)
{
	struct world *w = user;
	w->files++;
}

/* What the inbox has already. */
static bool known(void *user, const char *name, uint64_t bytes, const struct digest *digest)
{
	struct world *w = user;
	char path[PATH_MAX];
	struct digest d;
	uint64_t n;
	w->known_calls++;
	assert_true(path_format(path, sizeof(path), "%s/%s", w->inbox, name) >= 0);
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && digest_fd(fd, &d, &n) == 0 && n == bytes && memcmp(&d, digest, sizeof(d)) == 0;
}

static void start_board(struct world *w)
{
	struct cfdp_options o = {
		.entity = 1, .crc_required = !w->link.without_crc, .on_sent = on_sent, .user = w};
	assert_int_equal(cfdp_create(&o, &w->board), 0);
}

static void start_ground(struct world *w)
{
	struct cfdp_options o = {.entity = 2,
		.crc_required = !w->link.without_crc,
		.inbox = w->inbox,
		.file_bytes_max = 1 << 20,
		.on_file = on_file,
		.known = known,
		.user = w};
	assert_int_equal(cfdp_create(&o, &w->ground), 0);
}

static void begin(struct world *w, struct link_model link)
{
	memset(w, 0, sizeof(*w));
	folder_make(w->dir);
	assert_true(path_format(w->inbox, sizeof(w->inbox), "%s/inbox", w->dir) >= 0);
	assert_int_equal(dir_make(w->inbox, 0755), 0);
	w->link = link;
	w->now.ns = 1;
	start_board(w);
	start_ground(w);
}

static void end(struct world *w)
{
	for (size_t i = 0; i < w->n_flight; i++)
		free(w->flight[i]);
	cfdp_destroy(w->board);
	cfdp_destroy(w->ground);
	folder_remove(w->dir);
}

static void launch_at(struct world *w, bool to_ground, const uint8_t *pdu, size_t len)
{
	if (w->n_flight == FLIGHT_MAX)
		return;
	struct flight *f = malloc(sizeof(*f));
	int64_t jitter = w->link.jitter_ns ? (int64_t)(rnd(&w->link.seed) % (uint64_t)w->link.jitter_ns) : 0;
	f->at_ns = w->now.ns + w->link.delay_ns + jitter;
	f->to_ground = to_ground;
	f->len = len;
	memcpy(f->pdu, pdu, len);
	if (chance(&w->link.seed, w->link.flip))
		f->pdu[rnd(&w->link.seed) % len] ^= (uint8_t)(1u << rnd(&w->link.seed) % 8);
	w->flight[w->n_flight++] = f;
}

static void launch(struct world *w, bool to_ground, const uint8_t *pdu, size_t len)
{
	w->sent++;
	if (chance(&w->link.seed, w->link.loss)) {
		w->dropped++;
		return;
	}
	launch_at(w, to_ground, pdu, len);
	if (chance(&w->link.seed, w->link.dup))
		launch_at(w, to_ground, pdu, len);
}

/* One step: everything that may be sent now is, then the time goes on to whatever comes next. false: nothing
 * does. */
static bool step(struct world *w)
{
	uint8_t buf[CFDP_PDU_BYTES_MAX];
	size_t len, first = 0;
	for (int i = 0; i < 16 && (len = cfdp_next(w->board, w->now, buf, sizeof(buf))); i++)
		launch(w, true, buf, len);
	bool more = len;
	for (int i = 0; i < 16 && (len = cfdp_next(w->ground, w->now, buf, sizeof(buf))); i++)
		launch(w, false, buf, len);
	more |= len != 0;
	int64_t at = cfdp_deadline(w->board).ns;
	if (cfdp_deadline(w->ground).ns < at)
		at = cfdp_deadline(w->ground).ns;
	if (more && at > w->now.ns + NS_PER_MS)
		at = w->now.ns + NS_PER_MS;
	for (size_t i = 1; i < w->n_flight; i++)
		if (w->flight[i]->at_ns < w->flight[first]->at_ns)
			first = i;
	if (w->n_flight && w->flight[first]->at_ns <= at) {
		struct flight *f = w->flight[first];
		memmove(w->flight + first, w->flight + first + 1,
			(--w->n_flight - first) * sizeof(*w->flight));
		if (f->at_ns > w->now.ns)
			w->now.ns = f->at_ns;
		(void)cfdp_feed(f->to_ground ? w->ground : w->board, w->now, f->pdu, f->len);
		free(f);
		return true;
	}
	if (at == INT64_MAX)
		return false;
	if (at > w->now.ns)
		w->now.ns = at;
	return true;
}

static void make_file(struct world *w, const char *name, size_t bytes, uint64_t seed)
{
	char path[PATH_MAX];
	CLEAN_FREE uint8_t *data = malloc(bytes + 8);
	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t v = rnd(&seed);
		memcpy(data + i, &v, 8);
	}
	assert_true(path_format(path, sizeof(path), "%s/%s", w->dir, name) >= 0);
	assert_int_equal(file_replace(path, data, bytes, 0644), 0);
}

static void send_file(
	struct world *w, const char *name, uint64_t sequence, enum cfdp_checksum sum, bool class1)
{
	char path[PATH_MAX];
	struct digest digest;
	struct cfdp_file f = {.name = name,
		.checksum = sum,
		.destination = 2,
		.sequence = sequence,
		.unacknowledged = class1};
	assert_true(path_format(path, sizeof(path), "%s/%s", w->dir, name) >= 0);
	f.fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(f.fd >= 0);
	assert_int_equal(cfdp_sum_fd(f.fd, sum, &f.sum, &digest, &f.bytes), 0);
	if (sum == CFDP_CRC32C)
		f.digest = &digest;
	assert_int_equal(cfdp_send(w->board, &f), 0);
}

static void same_file(struct world *w, const char *name)
{
	char a[PATH_MAX], b[PATH_MAX];
	CLEAN_FREE char *x = NULL, *y = NULL;
	size_t n, m;
	assert_true(path_format(a, sizeof(a), "%s/%s", w->dir, name) >= 0);
	assert_true(path_format(b, sizeof(b), "%s/%s", w->inbox, name) >= 0);
	assert_int_equal(file_read(a, 1 << 22, &x, &n), 0);
	assert_int_equal(file_read(b, 1 << 22, &y, &m), 0);
	assert_int_equal(n, m);
	assert_memory_equal(x, y, n);
}

/* Names in the inbox: hidden ones are unfinished files. */
static unsigned in_inbox(struct world *w)
{
	unsigned n = 0;
	DIR *d = opendir(w->inbox);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static void run_to_end(struct world *w, unsigned limit)
{
	while ((cfdp_busy(w->board) || cfdp_busy(w->ground)) && limit-- && step(w))
		;
	assert_int_equal(cfdp_busy(w->board), 0);
	assert_int_equal(cfdp_busy(w->ground), 0);
}

static void test_clean(void **state)
{
	static const enum cfdp_checksum sums[] = {CFDP_MODULAR, CFDP_CRC32C, CFDP_CRC32, CFDP_NULL};
	static const size_t sizes[] = {0, 1, 1372, 1373, 100000};
	uint64_t sequence = 1;
	for (size_t i = 0; i < ARRAY_LEN(sums); i++) {
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
			struct world w;
			begin(&w, (struct link_model){.delay_ns = 10 * NS_PER_MS});
			make_file(&w, "f", sizes[k], sequence);
			send_file(&w, "f", sequence++, sums[i], false);
			run_to_end(&w, 10000);
			same_file(&w, "f");
			assert_int_equal(w.files, 1);
			assert_int_equal(w.ended, 1);
			assert_int_equal(w.last_status, 0);
			assert_int_equal(in_inbox(&w), 1);
			/* Nothing was sent twice: metadata, data, EOF, its ACK, Finished, its ACK. */
			assert_int_equal(w.sent, 5 + (sizes[k] + 1371) / 1372);
			end(&w);
		}
	}
}

static void test_hostile_links(void **state)
{
	uint64_t again = 0, bytes = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct world w;
		uint64_t s = seed;
		struct link_model link = {
			.loss = (unsigned)(rnd(&s) % 50),
			.dup = (unsigned)(rnd(&s) % 30),
			.flip = (unsigned)(rnd(&s) % 20),
			.delay_ns = (int64_t)(rnd(&s) % 300) * NS_PER_MS,
			.jitter_ns = (int64_t)(rnd(&s) % 200) * NS_PER_MS,
			.seed = rnd(&s),
		};
		begin(&w, link);
		for (uint64_t i = 1; i <= 3; i++) {
			char name[16];
			size_t n = rnd(&s) % 60000;
			snprintf(name, sizeof(name), "f%d", (int)i);
			make_file(&w, name, n, s);
			send_file(&w, name, i, CFDP_CRC32C, false);
			bytes += n;
		}
		run_to_end(&w, 200000);
		for (int i = 1; i <= 3; i++) {
			char name[16];
			snprintf(name, sizeof(name), "f%d", i);
			same_file(&w, name);
		}
		assert_int_equal(w.ended, 3);
		assert_int_equal(w.last_status, 0);
		assert_int_equal(in_inbox(&w), 3);
		again += cfdp_stats(w.board)->data_again_bytes;
		end(&w);
	}
	assert_true(again > 0);
	/* Repeating must not run away: on links that lose a quarter on average, at most twice the files
	 * again. */
	assert_true(again < 2 * bytes);
}

/* A link that is dead for a day: the sender keeps trying, ever more seldom, and ends when it comes back. */
static void test_dead_link(void **state)
{
	struct world w;
	begin(&w, (struct link_model){.loss = 100, .delay_ns = NS_PER_MS});
	make_file(&w, "f", 20000, 5);
	send_file(&w, "f", 9, CFDP_CRC32C, false);
	while (w.now.ns < 86400 * NS_PER_S)
		assert_true(step(&w));
	assert_int_equal(w.ended, 0);
	assert_true(w.sent < 3000); /* every 30 s one EOF */
	w.link.loss = 0;
	run_to_end(&w, 10000);
	same_file(&w, "f");
	end(&w);
}

/* Either side is replaced by a new one at some instant, as a crash does; in the end the file is there once.
 */
static void test_restarts(void **state)
{
	for (uint64_t seed = 1; seed <= 80; seed++) {
		struct world w;
		uint64_t s = seed, sequence = 1;
		begin(&w, (struct link_model){.loss = 10,
				  .dup = 5,
				  .delay_ns = 20 * NS_PER_MS,
				  .jitter_ns = 20 * NS_PER_MS,
				  .seed = seed});
		make_file(&w, "f", 40000, seed);
		send_file(&w, "f", sequence++, CFDP_CRC32C, false);
		for (int crash = 0; crash < 3; crash++) {
			for (uint64_t n = rnd(&s) % 90; n-- && cfdp_busy(w.board);)
				assert_true(step(&w));
			if (chance(&s, 50)) {
				cfdp_destroy(w.ground);
				start_ground(&w);
			} else {
				bool unfinished = cfdp_busy(w.board);
				cfdp_destroy(w.board);
				start_board(&w);
				if (unfinished)
					send_file(&w, "f", sequence++, CFDP_CRC32C, false);
			}
		}
		for (unsigned limit = 100000; cfdp_busy(w.board) && limit; limit--)
			assert_true(step(&w));
		assert_int_equal(w.last_status, 0);
		assert_int_equal(w.ended, 1);
		same_file(&w, "f");
		assert_int_equal(w.files, 1); /* recognised, not received twice */
		end(&w);
	}
}

/* A sender that lost its memory counts from the beginning again: its new file is not taken for the old one.
 */
static void test_reused_sequence(void **state)
{
	struct world w;
	begin(&w, (struct link_model){.delay_ns = NS_PER_MS});
	make_file(&w, "a", 5000, 1);
	make_file(&w, "b", 5000, 2);
	send_file(&w, "a", 1, CFDP_CRC32C, false);
	run_to_end(&w, 1000);
	cfdp_destroy(w.board);
	start_board(&w);
	send_file(&w, "b", 1, CFDP_CRC32C, false);
	run_to_end(&w, 1000);
	same_file(&w, "a");
	same_file(&w, "b");
	assert_int_equal(w.files, 2);
	end(&w);
}

static void test_class1(void **state)
{
	struct world w;
	begin(&w, (struct link_model){.delay_ns = NS_PER_MS, .jitter_ns = 20 * NS_PER_MS, .seed = 3});
	make_file(&w, "f", 30000, 1);
	send_file(&w, "f", 1, CFDP_CRC32C, true);
	run_to_end(&w, 10000);
	same_file(&w, "f");
	w.link.loss = 50; /* nobody repeats: nothing is kept, and nothing is left behind */
	make_file(&w, "g", 60000, 1);
	send_file(&w, "g", 2, CFDP_CRC32C, true);
	for (unsigned n = 0; n < 1000 && cfdp_busy(w.board); n++)
		assert_true(step(&w));
	while (w.now.ns < 3 * 3600 * NS_PER_S && step(&w))
		;
	assert_int_equal(cfdp_busy(w.ground), 0);
	assert_int_equal(in_inbox(&w), 1);
	assert_int_equal(w.files, 1);
	end(&w);
}

static size_t feed(struct world *w, struct cfdp_pdu *p)
{
	uint8_t raw[2048];
	p->crc = true;
	p->id_bytes = 1;
	p->sequence_bytes = 1;
	p->source = 1;
	p->destination = 2;
	int len = cfdp_encode(p, raw, sizeof(raw));
	assert_true(len > 0);
	(void)cfdp_feed(w->ground, w->now, raw, (size_t)len);
	return (size_t)len;
}

/* The condition of the Finished that the ground gives out, -1 when there is none. */
static int finished(struct world *w)
{
	uint8_t raw[CFDP_PDU_BYTES_MAX];
	struct cfdp_pdu p;
	int condition = -1;
	for (size_t len; (len = cfdp_next(w->ground, w->now, raw, sizeof(raw)));) {
		assert_int_equal(cfdp_decode(raw, len, &p), 0);
		if (p.kind == CFDP_FINISHED)
			condition = (int)p.finished.condition;
	}
	return condition;
}

static void test_hostile_sender(void **state)
{
	static const char *const names[] = {"../x", "/etc/passwd", "", ".part-1-1", "a/b", "-rf"};
	struct world w;
	struct cfdp_pdu p;
	uint8_t data[100] = {0};
	uint64_t sequence = 1;
	begin(&w, (struct link_model){0});
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		p = (struct cfdp_pdu){.kind = CFDP_METADATA, .sequence = sequence++};
		strcpy(p.metadata.name, names[i]);
		feed(&w, &p);
		assert_int_equal(finished(&w), CFDP_FILESTORE_REJECTION);
	}
	/* Too large, said before and shown by its data. */
	p = (struct cfdp_pdu){.kind = CFDP_METADATA, .sequence = sequence++};
	strcpy(p.metadata.name, "big");
	p.metadata.bytes = (1 << 20) + 1;
	feed(&w, &p);
	assert_int_equal(finished(&w), CFDP_FILESTORE_REJECTION);
	p = (struct cfdp_pdu){.kind = CFDP_FILE_DATA, .sequence = sequence++};
	p.data.offset = (1 << 20) - 50;
	p.data.data = data;
	p.data.len = sizeof(data);
	feed(&w, &p);
	assert_int_equal(finished(&w), CFDP_FILE_SIZE_ERROR);
	/* A checksum that we do not know. */
	p = (struct cfdp_pdu){.kind = CFDP_METADATA, .sequence = sequence++};
	strcpy(p.metadata.name, "sum");
	p.metadata.checksum = (enum cfdp_checksum)7;
	feed(&w, &p);
	assert_int_equal(finished(&w), CFDP_UNSUPPORTED_CHECKSUM);
	/* A wrong checksum, and sizes that contradict each other. */
	for (int k = 0; k < 2; k++) {
		p = (struct cfdp_pdu){.kind = CFDP_METADATA, .sequence = sequence};
		strcpy(p.metadata.name, "f");
		p.metadata.bytes = 100;
		feed(&w, &p);
		p = (struct cfdp_pdu){.kind = CFDP_FILE_DATA, .sequence = sequence};
		p.data.data = data;
		p.data.len = sizeof(data);
		feed(&w, &p);
		p = (struct cfdp_pdu){.kind = CFDP_EOF, .sequence = sequence++};
		p.eof.checksum = 1;
		p.eof.bytes = k ? 200 : 100;
		feed(&w, &p);
		assert_int_equal(finished(&w), k ? CFDP_FILE_SIZE_ERROR : CFDP_CHECKSUM_FAILURE);
	}
	assert_int_equal(w.files, 0);
	assert_int_equal(in_inbox(&w), 0);
	/* Without a CRC: nobody's. */
	p = (struct cfdp_pdu){.kind = CFDP_METADATA,
		.id_bytes = 1,
		.sequence_bytes = 1,
		.source = 1,
		.sequence = 99,
		.destination = 2};
	int encoded = cfdp_encode(&p, data, sizeof(data));
	assert_int_equal(cfdp_feed(w.ground, w.now, data, (size_t)encoded), ERR_FORMAT);
	assert_int_equal(finished(&w), -1);
	memset(data, 0, sizeof(data));
	/* More transactions than there is room for: refused, and later the silent ones make room. */
	for (int i = 0; i < 100; i++) {
		p = (struct cfdp_pdu){.kind = CFDP_FILE_DATA, .sequence = 100 + (uint64_t)i};
		p.data.data = data;
		p.data.len = sizeof(data);
		feed(&w, &p);
	}
	assert_true(cfdp_busy(w.ground) <= CFDP_RECEIVERS_MAX);
	assert_true(in_inbox(&w) <= CFDP_RECEIVERS_MAX);
	w.now.ns += 60 * NS_PER_S;
	make_file(&w, "ok", 3000, 1);
	send_file(&w, "ok", 1, CFDP_CRC32C, false);
	for (unsigned n = 0; n < 10000 && cfdp_busy(w.board); n++)
		step(&w);
	same_file(&w, "ok");
	end(&w);
}

/* More gaps than can be noted: what finds no room is asked for again, and it ends all the same. */
static void test_many_gaps(void **state)
{
	struct world w;
	struct cfdp_pdu p;
	uint8_t byte = 0;
	begin(&w, (struct link_model){0});
	for (uint64_t i = 0; i < 10000; i++) {
		p = (struct cfdp_pdu){.kind = CFDP_FILE_DATA, .sequence = 200};
		p.data.offset = 2 * i;
		p.data.data = &byte;
		p.data.len = 1;
		feed(&w, &p);
	}
	p = (struct cfdp_pdu){.kind = CFDP_METADATA, .sequence = 200};
	strcpy(p.metadata.name, "gaps");
	p.metadata.bytes = 20000;
	p.metadata.checksum = CFDP_NULL;
	feed(&w, &p);
	p = (struct cfdp_pdu){.kind = CFDP_EOF, .sequence = 200};
	p.eof.bytes = 20000;
	feed(&w, &p);
	for (int i = 0; i < 20; i++) {
		p = (struct cfdp_pdu){.kind = CFDP_FILE_DATA, .sequence = 200};
		uint8_t block[1000] = {0};
		p.data.offset = (uint64_t)i * 1000;
		p.data.data = block;
		p.data.len = sizeof(block);
		feed(&w, &p);
	}
	assert_int_equal(finished(&w), CFDP_NO_ERROR);
	assert_int_equal(w.files, 1);
	end(&w);
}

/* A file that shrinks under the sender: the transfer is cancelled on both sides. */
static void test_file_shrinks(void **state)
{
	struct world w;
	char path[PATH_MAX];
	begin(&w, (struct link_model){.delay_ns = NS_PER_MS});
	make_file(&w, "f", 50000, 1);
	send_file(&w, "f", 1, CFDP_CRC32C, false);
	assert_true(path_format(path, sizeof(path), "%s/f", w.dir) >= 0);
	assert_int_equal(truncate(path, 20000), 0);
	for (unsigned n = 0; n < 200 && cfdp_busy(w.board); n++)
		step(&w);
	assert_int_equal(w.ended, 1);
	assert_true(w.last_status < 0);
	for (unsigned n = 0; n < 200 && cfdp_busy(w.ground); n++)
		step(&w);
	assert_int_equal(cfdp_busy(w.ground), 0);
	assert_int_equal(in_inbox(&w), 0);
	end(&w);
}

/* Random bytes and damaged PDUs at both ends: nothing falls over, the transfer goes on. */
static void test_noise(void **state)
{
	struct world w;
	uint64_t s = 77;
	begin(&w, (struct link_model){.delay_ns = NS_PER_MS, .flip = 60, .without_crc = true, .seed = 4});
	make_file(&w, "f", 30000, 1);
	send_file(&w, "f", 1, CFDP_CRC32C, false);
	for (int i = 0; i < 5000; i++) {
		uint8_t raw[64];
		for (size_t k = 0; k < sizeof(raw); k++)
			raw[k] = (uint8_t)rnd(&s);
		raw[0] = (uint8_t)(0x20 | (raw[0] & 0x1d)); /* often enough a header without CRC */
		raw[3] = 0;
		raw[1] = 0;
		size_t len = 7 + rnd(&s) % 50;
		raw[2] = (uint8_t)(len - 7);
		raw[4] = 1;
		raw[6] = 2;
		(void)cfdp_feed(chance(&s, 50) ? w.board : w.ground, w.now, raw, len);
		if (i % 10 == 0)
			step(&w);
	}
	w.link.flip = 0;
	for (unsigned n = 0; n < 100000 && cfdp_busy(w.board); n++)
		step(&w);
	assert_int_equal(cfdp_busy(w.board), 0);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_hostile_links),
		cmocka_unit_test(test_dead_link),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_reused_sequence),
		cmocka_unit_test(test_class1),
		cmocka_unit_test(test_hostile_sender),
		cmocka_unit_test(test_many_gaps),
		cmocka_unit_test(test_file_shrinks),
		cmocka_unit_test(test_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
