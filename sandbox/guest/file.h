/* SPDX-License-Identifier: Apache-2.0 */
/* What can be opened: /in and /out on block devices, /tmp in memory, and a few of /dev. */
#ifndef GUEST_FILE_H
#define GUEST_FILE_H

#include "guest.h"
#include "order.h"

enum node_kind {
	NODE_NONE,
	NODE_FOLDER,
	NODE_BLOCK,  /* on a device */
	NODE_INLINE, /* in the order */
	NODE_MEMORY, /* in /tmp */
	NODE_LOG,
	NODE_NULL,
	NODE_ZERO,
	NODE_RANDOM,
};

struct window;

struct node {
	enum node_kind kind;
	const char *folder, *name; /* "/in", "scene"; of a folder: its own path and "" */
	bool writable;
	unsigned links, opens; /* MEMORY: freed when neither is left */
	uint64_t size, most;
	uint8_t device;                  /* BLOCK */
	uint64_t sector;                 /* BLOCK: the first */
	struct window *window;           /* BLOCK: what is held of it; NULL: nothing */
	const uint8_t *data;             /* INLINE */
	uint64_t **tables;               /* MEMORY: pages of 512 pages */
	char own_name[GUEST_NAME_BYTES]; /* MEMORY */
};

struct open_file {
	struct node *node;
	unsigned holds; /* descriptors and mappings */
	int flags;      /* of open */
	uint64_t offset;
};

extern uint64_t files_bytes_read, files_bytes_written;

/* node.c */
struct node *node_find(const char *path);
/* A new file in /tmp; NULL: no room, *ret_errno says why. */
struct node *node_make(const char *path, int *ret_errno);
int node_unlink(struct node *n);
void node_drop(struct node *n); /* an open ended */
/* Node i of a folder, or NULL past the last. */
struct node *node_of_folder(const struct node *folder, size_t i);
extern uint64_t tmp_left;

/* Moves bytes between a node and the stage's memory. The number of bytes, or negative; short at the file's
 * end, or when the stage's memory ended. */
int64_t node_read(struct node *n, uint64_t offset, uint64_t to, size_t len);
int64_t node_write(struct node *n, uint64_t offset, uint64_t from, size_t len);
int node_resize(struct node *n, uint64_t size);
int node_flush(struct node *n);
int node_fill_pages(struct node *n, uint64_t offset, const uint64_t *pages, size_t count);

/* block-file.c */
int64_t block_file_read(struct node *n, uint64_t offset, uint64_t to, size_t len);
int64_t block_file_write(struct node *n, uint64_t offset, uint64_t from, size_t len);
int block_file_flush(struct node *n);
int block_file_zero(struct node *n, uint64_t from, uint64_t to);
void block_file_forget(struct node *n);
int block_file_fill(struct node *n, uint64_t offset, const uint64_t *pages, size_t count);

#endif
