/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From files in the inbox to results. A batch leaves the inbox only when all that follows from it is durable,
 * and each step may be repeated: killed at any instant, the next life does the same again and ends with the
 * same folder.
 *
 *   OUT/inbox     what CFDP has completed
 *   OUT/batches   batches that were accepted, each with its signature, as they came
 *   OUT/rejected  what was refused, with NAME.reason
 *   OUT/results, OUT/stac   see results.h
 *   OUT/tmp       nothing of value
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "inbox.h"
#include "link.h"
#include "receive.h"
#include "results.h"

#define BATCH_BYTES_DEFAULT (UINT64_C(256) << 20)
#define REJECTED_MAX 200 /* kept aside; more are only reported */
#define TAR INBOX_TAR
#define SIG INBOX_SIG
#define ENTITY_GROUND 2

struct receive {
	struct receive_options o; /* strings owned by `out` and this struct */
	char *out;
	char inbox[PATH_MAX];
	struct minisign_public key;
	struct results results;
	struct receive_counts counts;
	struct link *link;
	bool dirty; /* something is new in the inbox */
	void (*on_turn)(void *user);
	void *user;
};

enum place { INBOX, BATCHES, REJECTED, TMP, PLACE_MAX };
static const char *const place_name[PLACE_MAX] = {"inbox", "batches", "rejected", "tmp"};

static int path_of(const struct receive *r, enum place place, const char *name, const char *suffix,
	char ret_path[PATH_MAX])
{
	return path_format(ret_path, PATH_MAX, "%s/%s/%s%s", r->out, place_name[place], name, suffix);
}

/* ---- reports ---- */

static void report(struct receive *r, const char *text, cJSON *json)
{
	if (r->o.report && r->o.json) {
		CLEAN_FREE char *line = json ? cJSON_PrintUnformatted(json) : NULL;
		fprintf(r->o.report, "%s\n", line ? line : "{}");
	} else if (r->o.report) {
		fprintf(r->o.report, "%s\n", text);
	}
	if (r->o.report)
		fflush(r->o.report);
	cJSON_Delete(json);
}

static cJSON *event(const char *what, const char *name)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "event", what);
	cJSON_AddStringToObject(o, "batch", name);
	return o;
}

static void report_batch(struct receive *r, const struct batch *b, const char *kept_as, bool repeated)
{
	char text[512];
	cJSON *o = event(repeated ? "repeated" : "accepted", b->name);
	cJSON_AddNumberToObject(o, "bytes", (double)b->bytes);
	cJSON_AddNumberToObject(o, "products", (double)b->n_products);
	cJSON_AddBoolToObject(o, "verified", true);
	cJSON_AddStringToObject(o, "file", kept_as);
	snprintf(text, sizeof(text), "batch %s: %llu bytes, %zu products, signature verified%s", b->name,
		(unsigned long long)b->bytes, b->n_products, repeated ? " (received before)" : "");
	report(r, text, o);
}

struct filing {
	struct receive *r;
	const struct batch *b;
};

static void on_result(
	void *user, const struct product *p, const char *dir, const char *file, enum result_what what)
{
	struct filing *f = user;
	char text[512];
	cJSON *o = event("result", f->b->name);
	if (what == RESULT_NEW)
		f->r->counts.results++;
	else
		f->r->counts.duplicates++;
	snprintf(text, sizeof(text), "  run %lld: results/%s/%s, %llu bytes%s", (long long)p->run, dir, file,
		(unsigned long long)p->bytes, what == RESULT_NEW ? "" : " (there already)");
	cJSON_AddNumberToObject(o, "run", (double)p->run);
	cJSON_AddStringToObject(o, "workflow", p->workflow);
	cJSON_AddStringToObject(o, "product", file);
	cJSON_AddStringToObject(o, "dir", dir);
	cJSON_AddNumberToObject(o, "bytes", (double)p->bytes);
	cJSON_AddBoolToObject(o, "duplicate", what == RESULT_DUPLICATE);
	report(f->r, text, o);
}

/* ---- moving files ---- */

static bool same_content(const char *path, uint64_t bytes, const struct digest *digest)
{
	struct stat st;
	struct digest found;
	uint64_t n;
	CLEAN_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == bytes &&
	       digest_fd(fd, &found, &n) >= 0 && memcmp(&found, digest, sizeof(found)) == 0;
}

/* Under which name a batch of this content is kept in a place: its own, or with a piece of its digest when
 * another batch has that name. ret_there: it is there already. */
static int kept_name(const struct receive *r, enum place place, const char *name, uint64_t bytes,
	const struct digest *digest, char ret_name[BATCH_NAME_BYTES + 16], bool *ret_there)
{
	char path[PATH_MAX], text[DIGEST_TEXT_BYTES];
	digest_format(digest, text);
	for (int i = 0; i < 2; i++) {
		snprintf(ret_name, BATCH_NAME_BYTES + 16, i ? "%.63s-%.8s" : "%.63s", name, text);
		int n = path_of(r, place, ret_name, TAR, path);
		if (n < 0)
			return n;
		*ret_there = same_content(path, bytes, digest);
		if (*ret_there || (access(path, F_OK) < 0 && errno == ENOENT))
			return 0;
	}
	return -EEXIST;
}

/* Moves a pair out of the inbox. The archive's move decides; before it the pair is still there and is dealt
 * with again. */
static int move_pair(const struct receive *r, const char *name, const char *sig, size_t sig_len,
	enum place place, const char *as)
{
	char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];
	int n = path_of(r, place, as, SIG, to);
	if (n >= 0)
		n = file_replace(to, sig, sig_len, 0644);
	if (n >= 0)
		n = path_of(r, INBOX, name, TAR, from);
	if (n >= 0)
		n = path_of(r, place, as, TAR, to);
	if (n >= 0)
		n = path_of(r, place, "", "", folder);
	if (n < 0)
		return n;
	if (rename(from, to) < 0)
		return -errno;
	n = dir_sync(folder);
	if (n >= 0)
		n = path_of(r, INBOX, name, SIG, from);
	if (n >= 0)
		(void)unlink(from);
	return n < 0 ? n : 0;
}

static void forget_pair(const struct receive *r, const char *name)
{
	char path[PATH_MAX];
	if (path_of(r, INBOX, name, TAR, path) >= 0)
		(void)unlink(path);
	if (path_of(r, INBOX, name, SIG, path) >= 0)
		(void)unlink(path);
}

static unsigned count_files(const char *path)
{
	unsigned n = 0;
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));)
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static int reject(struct receive *r, const char *name, int fd, const char *sig, size_t sig_len, int why,
	const char *reason)
{
	char as[BATCH_NAME_BYTES + 16], path[PATH_MAX], text[BATCH_REASON_BYTES + 160];
	struct digest digest;
	uint64_t bytes;
	bool there = false, keep;
	int n = digest_fd(fd, &digest, &bytes);
	if (n >= 0)
		n = kept_name(r, REJECTED, name, bytes, &digest, as, &there);
	if (n >= 0)
		n = path_of(r, REJECTED, "", "", path);
	if (n < 0)
		return n;
	keep = !there && count_files(path) < 3 * REJECTED_MAX;
	if (keep) {
		snprintf(text, sizeof(text), "%s: %s\n", name, reason);
		n = path_of(r, REJECTED, as, ".reason", path);
		if (n >= 0)
			n = file_replace(path, text, strlen(text), 0644);
		if (n >= 0)
			n = move_pair(r, name, sig, sig_len, REJECTED, as);
	} else {
		forget_pair(r, name);
	}
	if (n < 0)
		return n;
	r->counts.refused++;
	cJSON *o = event("refused", name);
	cJSON_AddStringToObject(o, "reason", reason);
	cJSON_AddStringToObject(o, "code", err_name(why));
	cJSON_AddNumberToObject(o, "bytes", (double)bytes);
	if (keep)
		cJSON_AddStringToObject(o, "file", as);
	snprintf(text, sizeof(text), "batch %s: refused: %s%s%s", name, reason,
		keep ? "; kept as rejected/" : "", keep ? as : "");
	report(r, text, o);
	return 0;
}

/* ---- one batch ---- */

static int accept_batch(struct receive *r, const struct batch *b, int fd, const char *sig, size_t sig_len)
{
	char as[BATCH_NAME_BYTES + 16], tmp[PATH_MAX];
	struct digest digest;
	uint64_t bytes;
	bool there = false;
	struct filing f = {r, b};
	int n = digest_fd(fd, &digest, &bytes);
	if (n >= 0)
		n = kept_name(r, BATCHES, b->name, bytes, &digest, as, &there);
	if (n < 0)
		return n;
	if (there) {
		r->counts.repeated++;
		report_batch(r, b, as, true);
		forget_pair(r, b->name);
		return 0;
	}
	n = path_of(r, TMP, b->name, "", tmp);
	if (n >= 0)
		n = dir_remove(tmp);
	if (n >= 0)
		n = dir_make(tmp, 0755);
	if (n >= 0)
		n = batch_unpack(b, fd, tmp);
	if (n < 0)
		return n;
	report_batch(r, b, as, false);
	n = results_file(&r->results, b, tmp, on_result, &f);
	if (n >= 0)
		n = move_pair(r, b->name, sig, sig_len, BATCHES, as);
	if (n < 0)
		return n;
	r->counts.batches++;
	r->counts.bytes += b->bytes;
	return dir_remove(tmp);
}

static int take(struct receive *r, const char *name)
{
	char path[PATH_MAX], reason[BATCH_REASON_BYTES] = "the signature file is too long";
	CLEAN_FREE char *sig = NULL;
	struct batch *b = NULL;
	size_t sig_len = 0;
	int n = path_of(r, INBOX, name, TAR, path);
	if (n < 0)
		return n;
	CLEAN_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = path_of(r, INBOX, name, SIG, path);
	if (n >= 0)
		n = file_read(path, MINISIGN_TEXT_BYTES, &sig, &sig_len);
	if (n >= 0)
		n = batch_open(fd, sig, sig_len, &r->key, name, &b, reason);
	if (n == ERR_FORMAT || n == ERR_LIMIT || n == ERR_KEY || n == ERR_SIGNATURE || n == ERR_DIGEST)
		return reject(r, name, fd, sig ? sig : "", sig_len, n, reason);
	if (n >= 0)
		n = accept_batch(r, b, fd, sig, sig_len);
	batch_close(b);
	return n;
}

/* A signature whose archive is kept already: the life that moved it ended before the last step. */
static void tidy_signature(const struct receive *r, const char *name)
{
	char inbox[PATH_MAX], kept[PATH_MAX];
	struct digest digest;
	uint64_t bytes;
	if (path_of(r, INBOX, name, SIG, inbox) < 0)
		return;
	CLEAN_FD int fd = open(inbox, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || digest_fd(fd, &digest, &bytes) < 0)
		return;
	for (enum place p = BATCHES; p <= REJECTED; p++)
		if (path_of(r, p, name, SIG, kept) >= 0 && same_content(kept, bytes, &digest))
			(void)unlink(inbox);
}

/* Deals with every pair in the inbox. A failure of this machine (a full disk) leaves the pair there. */
static int inbox_process(struct receive *r)
{
	CLEAN_FREE struct inbox_entry *list = NULL;
	size_t n_list = 0;
	int result = inbox_list(r->inbox, &list, &n_list);
	for (size_t i = 0; result >= 0 && i < n_list; i++) {
		if (list[i].sig && !list[i].tar)
			tidy_signature(r, list[i].name);
		if (!list[i].sig || !list[i].tar)
			continue; /* the other half is still to come */
		int n = take(r, list[i].name);
		if (n < 0) {
			log_error("receive: batch %s could not be filed: %s", list[i].name, err_text(n));
			result = n;
		}
	}
	return result;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n > m && strcmp(text + n - m, end) == 0;
}

/* ---- the link ---- */

static bool known(void *user, const char *file, uint64_t bytes, const struct digest *digest)
{
	struct receive *r = user;
	char path[PATH_MAX], name[BATCH_NAME_BYTES], as[BATCH_NAME_BYTES + 16];
	bool there = false;
	for (enum place p = INBOX; p <= REJECTED; p++)
		if (path_of(r, p, file, "", path) >= 0 && same_content(path, bytes, digest))
			return true;
	if (!ends_with(file, TAR) || strlen(file) - strlen(TAR) >= sizeof(name))
		return false;
	memcpy(name, file, strlen(file) - strlen(TAR));
	name[strlen(file) - strlen(TAR)] = 0;
	for (enum place p = BATCHES; p <= REJECTED && !there; p++)
		if (kept_name(r, p, name, bytes, digest, as, &there) < 0)
			there = false;
	return there;
}

static void on_file(void *user, const char *name, const char *path, uint64_t bytes)
{
	struct receive *r = user;
	r->dirty = true;
}

static void on_link_turn(void *user)
{
	struct receive *r = user;
	if (r->dirty) {
		r->dirty = false;
		(void)inbox_process(r);
	}
	if (r->on_turn)
		r->on_turn(r->user);
}

/* ---- the face ---- */

int receive_create(uv_loop_t *loop, const struct receive_options *o, struct receive **ret_receive)
{
	char path[PATH_MAX];
	struct receive *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->o = *o;
	r->out = strdup(o->out);
	int n = r->out ? minisign_public_load(o->key, &r->key) : -ENOMEM;
	for (enum place p = 0; n >= 0 && p < PLACE_MAX; p++) {
		n = path_of(r, p, "", "", path);
		if (n >= 0 && p == TMP)
			n = dir_remove(path);
		if (n >= 0)
			n = dir_make(path, 0755);
	}
	if (n >= 0)
		n = path_format(r->inbox, sizeof(r->inbox), "%s/inbox", r->out);
	if (n >= 0)
		n = results_open(r->out, &r->results);
	if (n >= 0)
		n = stac_catalog(r->out);
	if (n >= 0)
		n = inbox_process(r);
	if (n >= 0) {
		struct link_options l = {.from = o->listen,
			.to = o->to,
			.telecommand = true,
			.on_turn = on_link_turn,
			.user = r};
		l.cfdp = (struct cfdp_options){
			.entity = ENTITY_GROUND,
			.crc_required = true,
			.ack_ns = o->ack_ns,
			.inbox = r->inbox,
			.file_bytes_max = o->batch_bytes_max ? o->batch_bytes_max : BATCH_BYTES_DEFAULT,
			.known = known,
			.on_file = on_file,
			.user = r,
		};
		n = link_create(loop, &l, &r->link);
	}
	if (n < 0) {
		receive_destroy(r);
		return n;
	}
	*ret_receive = r;
	return 0;
}

void receive_destroy(struct receive *r)
{
	if (!r)
		return;
	link_destroy(r->link); /* it calls nobody any more */
	results_finish(&r->results);
	free(r->out);
	free(r);
}

uint16_t receive_port(const struct receive *r)
{
	return link_port(r->link);
}

bool receive_reached(const struct receive *r)
{
	return (r->o.once_batches && r->counts.batches >= r->o.once_batches) ||
	       (r->o.once_runs && r->results.runs >= r->o.once_runs);
}

bool receive_done(const struct receive *r)
{
	return receive_reached(r) && cfdp_busy(link_entity(r->link)) == 0;
}

void receive_on_turn(struct receive *r, void (*on_turn)(void *user), void *user)
{
	r->on_turn = on_turn;
	r->user = user;
}

void receive_counts(const struct receive *r, struct receive_counts *ret_counts)
{
	*ret_counts = r->counts;
	ret_counts->runs = r->results.runs;
}
