/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML with positions, through libyaml, as a tree. Bounded and strict for hostile input: no aliases,
 * anchors or tags, no duplicate keys, UTF-8 only, one document, limits on bytes, depth and nodes.
 * The y_* readers complain by themselves, so that a checker reads straight down and tests c->total once.
 */
#ifndef CORE_YAML_H
#define CORE_YAML_H

#include <stdbool.h>
#include <stdint.h>

#include "core/complain.h"

#define YAML_BYTES_MAX (4u << 20)
#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 200000

enum ynode_kind { YNODE_SCALAR, YNODE_MAP, YNODE_SEQ, YNODE_KIND_MAX };

struct ynode {
	enum ynode_kind kind;
	int line, column; /* from 1 */
	char *text;       /* scalar: its text */
	bool plain;       /* scalar: written without quotes */
	char *key;        /* when this is a value in a map: its key */
	int key_line, key_column;
	struct ynode *first; /* map, sequence: children, in order */
	struct ynode *last;
	struct ynode *next; /* sibling */
	size_t n;           /* number of children */
	bool seen;          /* asked for by y_get; see y_no_others */
};

/* Parses text. NULL on failure, with the complaint made. The caller destroys it with yaml_destroy. */
struct ynode *yaml_parse(const char *text, size_t len, struct complaints *c);
/* The same from a file of at most YAML_BYTES_MAX bytes. */
struct ynode *yaml_load(const char *path, struct complaints *c);
void yaml_destroy(struct ynode *root);

/* Complains at the node ("key: …" in front when it has a key). */
void y_complain(struct complaints *c, const struct ynode *at, const char *fmt, ...) PRINTF(3, 4);

/* The value of a key in a map, or NULL. Marks it as known. */
struct ynode *y_get(struct ynode *map, const char *key);
/* The same, and complains when it is missing. */
struct ynode *y_need(struct complaints *c, struct ynode *map, const char *key);
/* Complains about each key of the map that nobody asked for, with the nearest known name. */
void y_no_others(struct complaints *c, struct ynode *map, const char *const *known, size_t n_known);

/* Each returns true and sets its output, or complains and returns false. A NULL node: false without a word. */
bool y_is(struct complaints *c, const struct ynode *n, enum ynode_kind kind);
bool y_text(struct complaints *c, const struct ynode *n, const char **ret_borrowed);
/* A name: [a-z][a-z0-9-]*, at most 63 bytes (RFC 1123 label). */
bool y_name(struct complaints *c, const struct ynode *n, const char **ret_borrowed);
/* A file name for /in and /out: [A-Za-z0-9][A-Za-z0-9._-]*, at most 63 bytes. */
bool y_file_name(struct complaints *c, const struct ynode *n, const char **ret_borrowed);
bool y_int(struct complaints *c, const struct ynode *n, int64_t min, int64_t max, int64_t *ret);
bool y_number(struct complaints *c, const struct ynode *n, double min, double max, double *ret);
bool y_bool(struct complaints *c, const struct ynode *n, bool *ret);
/* "64MiB", "4KiB", "1GiB", "512B", "2MB" (SI). */
bool y_size(struct complaints *c, const struct ynode *n, uint64_t max_bytes, uint64_t *ret_bytes);
/* "30s", "250ms", "20m", "2h", "7d". */
bool y_duration(struct complaints *c, const struct ynode *n, int64_t max_ns, int64_t *ret_ns);
/* "60J", "1.5kJ". */
bool y_energy(struct complaints *c, const struct ynode *n, double max_j, double *ret_j);

/* Whether a person means a number by it: plain, as JSON writes it. Complains about nothing. */
bool y_is_number(const struct ynode *n, double *ret);

/* The quantities by themselves; ERR_FORMAT. */
WARN_UNUSED int parse_size(const char *text, uint64_t *ret_bytes);
WARN_UNUSED int parse_duration(const char *text, int64_t *ret_ns);
WARN_UNUSED int parse_energy(const char *text, double *ret_j);

#endif
