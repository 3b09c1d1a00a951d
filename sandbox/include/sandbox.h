/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's face: the client of the launcher (perigee-launcher, the privileged process that runs each
 * stage in a container of its own), and images.
 *
 * Callbacks: (struct launcher *, …, void *user), never from inside the call that asked for them.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"

/* ---- Launching a stage --------------------------------------------------------------------------------- */

#define LAUNCH_RUNNING_MAX 64        /* stages at once; more are refused with ERR_LIMIT */
#define LAUNCH_WORDS_MAX 128         /* arguments, and as many of the environment */
#define LAUNCH_WORDS_BYTES_MAX 16384 /* arguments and environment together, with their zero bytes */
#define LAUNCH_REASON_BYTES 256

struct launch_limits {
	uint64_t memory_bytes; /* of all its processes, /tmp and page cache included; at least 1 MiB */
	uint64_t file_bytes;   /* of one file: the largest declared output */
	uint64_t tmp_bytes;    /* of /tmp, within memory_bytes; 0: half of that */
	int64_t wall_ns;       /* from launch to end */
	uint32_t cpus_milli;   /* thousandths of a CPU, 10 to 1000000 */
	uint32_t pids;         /* processes and threads, 1 to 4096 */
	/* What a stage that runs in a virtual machine has of memory_bytes (the rest is the monitor's); 0: it is
	 * a container. */
	uint64_t guest_bytes;
};

struct launch_request {
	uint64_t task; /* the caller's name for it; unique among those running */

	/* Borrowed until launcher_start returns. Opened for reading (O_RDONLY | O_DIRECTORY, not O_PATH). */
	int rootfs_fd; /* its root folder, with the empty folders in, out, tmp and dev: see image_import */
	int in_fd;     /* becomes /in, read-only */
	int out_fd;    /* becomes /out: holds one empty file, mode 0666, for each declared output; the folder
			* itself    is not writable for others, so that the stage can make nothing else */

	/* Its standard output and error: what comes is appended here up to log_bytes_max, the rest is thrown
	 * away (and then drained slowly, so that a flood costs the stage its time and nobody else). Borrowed
	 * until on_end. -1: only the last line is kept. */
	int log_fd;
	uint64_t log_bytes_max;

	/* NULL-terminated. argv[0] is an absolute path in the root. Strings are borrowed until the call
	 * returns. */
	const char *const *argv;
	const char *const *env;

	struct launch_limits limits;
};

enum launch_end {
	LAUNCH_EXITED,       /* by itself; code is its exit code */
	LAUNCH_SIGNALLED,    /* by a signal; code is its number */
	LAUNCH_LIMIT_MEMORY, /* it, or a process of it, was killed for memory; code as the stage ended */
	LAUNCH_LIMIT_TIME,   /* killed when its wall time was over */
	LAUNCH_LIMIT_PIDS,   /* it failed by itself after it was refused a process; code is its exit code or
				signal */
	LAUNCH_LIMIT_OUTPUT, /* it wrote beyond file_bytes */
	LAUNCH_KILLED,       /* by launcher_kill */
	LAUNCH_SETUP_FAILED, /* it never ran; reason says why */
	LAUNCH_BROKE,        /* its sandbox ended under it, and it with it */
	LAUNCH_END_MAX,
};

/* "exited", "signalled", "limit-memory", "limit-time", …; borrowed for ever. */
const char *launch_end_name(enum launch_end how);

struct launch_result {
	uint64_t task;
	enum launch_end how;
	int code;
	uint64_t wall_ns; /* from the launcher's start of it to the end of its last process, less frozen_ns */
	uint64_t cpu_ns;  /* of all its processes */
	uint64_t peak_memory_bytes;
	uint64_t frozen_ns; /* for how long it stood still, by launcher_freeze */
	/* What its processes had read from block devices and written to files that are on one. Not known when
	 * it was killed, or when the kernel does not count. */
	bool io_known;
	uint64_t read_bytes, written_bytes;
	uint64_t log_bytes;               /* written by the stage, kept or not */
	bool log_cut;                     /* not all of it was kept */
	char reason[LAUNCH_REASON_BYTES]; /* for a person: "used more than its 64 MiB of memory", "exited with
					   * 3"; what the stage itself said last is in last_line */
	char last_line[LAUNCH_REASON_BYTES]; /* of its log, printable, cut to fit; "" when it wrote nothing */
};

struct launcher;

struct launcher_callbacks {
	/* Once for each launcher_start that returned 0, unless on_gone comes first. All processes of the
	 * stage are dead by then, and its files do not change any more. */
	void (*on_end)(struct launcher *l, const struct launch_result *result, void *user);
	/* Once, when the launcher is gone; every stage is gone with it, and no on_end follows. `reason` is
	 * for the log. From then on launcher_start fails with ERR_PEER; the caller may destroy this one and
	 * create another. */
	void (*on_gone)(struct launcher *l, const char *reason, void *user);
	/* May be NULL: the launcher is ready. */
	void (*on_ready)(struct launcher *l, void *user);
};

/* Starts the launcher as a child process (path of the executable perigee-launcher), connected by a socket on
 * its descriptor 3. The caller is root then; nothing of this needs privileges afterwards. `loop` and
 * `callbacks` must live until launcher_destroy. -errno. */
WARN_UNUSED int launcher_create(uv_loop_t *loop, const char *path, const struct launcher_callbacks *callbacks,
	void *user, struct launcher **ret_launcher);

/* Closes the connection, upon which the launcher kills every stage and ends; calls back no more. Memory is
 * freed when the loop has closed the handles. Takes NULL. */
void launcher_destroy(struct launcher *l);

/* Asks for a stage. 0: on_end follows. -EINVAL (a limit or the arguments are out of range), -EEXIST (the task
 * runs), ERR_LIMIT (too many run, or arguments too long), ERR_PEER (the launcher is gone), -errno. */
WARN_UNUSED int launcher_start(struct launcher *l, const struct launch_request *request);

/* Kills a stage; on_end tells LAUNCH_KILLED, or how it ended if that came first. ERR_UNKNOWN when it is not
 * running. */
WARN_UNUSED int launcher_kill(struct launcher *l, uint64_t task);

/* Makes every process of a stage stand still, and its time limit with them, or lets them go on; it takes
 * effect a moment after. What is so already stays so. A frozen stage keeps its memory, and can be killed.
 * ERR_UNKNOWN when it is not running, -EOPNOTSUPP where launcher_can_freeze says no. */
WARN_UNUSED int launcher_freeze(struct launcher *l, uint64_t task, bool frozen);

/* Whether this machine has control groups that can be frozen (version 2, or the version 1 freezer); false
 * before on_ready. */
bool launcher_can_freeze(const struct launcher *l);

/* Stages asked for and not ended. */
size_t launcher_running(const struct launcher *l);

/* For figures: the process id of the launcher. */
pid_t launcher_pid(const struct launcher *l);

/* ---- Images -------------------------------------------------------------------------------------------- */

/*
 * OCI image layouts (https://github.com/opencontainers/image-spec, v1.0): a folder with oci-layout,
 * index.json and blobs/sha256/. Everything in it is hostile: bounded, and verified against the digests from
 * index.json down.
 */

#define IMAGE_DIGEST_BYTES 80  /* "sha256:" and 64 hexadecimal digits, with room */
#define IMAGE_REASON_BYTES 512 /* enough for every reason below */

/* An image that is ready to run. */
struct sandbox_image {
	char digest[IMAGE_DIGEST_BYTES]; /* of its manifest, "sha256:…" */
	char **argv; /* the image's Entrypoint and Cmd; argv[0] is an absolute path; NULL-terminated; owned */
	char **env;  /* "NAME=value"; NULL-terminated; owned */
	int rootfs_fd; /* its unpacked root, for launch_request; owned */
};

/* Takes the image for this machine's architecture out of a layout into the store: STORE/sha256-DIGEST/rootfs,
 * with the folders that a cell needs, durable and complete before that name exists. One that is there already
 * is opened and not unpacked again. Blocks. ERR_IMAGE with the reason, which names the file and says what to
 * do; or -errno with the reason. */
WARN_UNUSED int image_import(const char *layout_dir, const char *store_dir, struct sandbox_image *ret_image,
	char *ret_reason, size_t cap);
/* Frees what image_import has filled. */
void sandbox_image_finish(struct sandbox_image *image);

/* Makes a layout whose image holds one static program as /NAME, its entry point: the same bytes from the same
 * program, always. In a layout that is there already the image for the program's architecture is replaced,
 * and those for others are kept. ERR_IMAGE or -errno with the reason. */
WARN_UNUSED int image_build(
	const char *name, const char *program, const char *layout_dir, char *ret_reason, size_t cap);

/* ---- Unikernels ---------------------------------------------------------------------------------------- */

/*
 * A stage that is a unikernel runs in a cell as well: the cell's program is perigee-vm, which runs QEMU with the
 * guest kernel and the stage in it. Its root is made of links to what `perigee-vm --install` has put into one
 * folder, and the stage's program. /in and /out are a container's.
 */

#define VM_OVERHEAD_BYTES (UINT64_C(64) << 20) /* of the monitor and QEMU, beside the guest's memory */
#define VM_FILE_BYTES (UINT64_C(64) << 20)     /* that it writes for itself, in its /tmp */
#define VM_PIDS 32                             /* QEMU's threads */
#define VM_WORDS_BYTES 16384

/* Makes `dir` anew, the root of a cell for this image's program. ERR_IMAGE with the reason (the program is
 * dynamic, for another architecture, nothing was installed in vm_dir), or -errno. The caller closes *ret_fd. */
WARN_UNUSED int vm_root_make(const struct sandbox_image *image, const char *vm_dir, const char *dir, int *ret_fd,
	char *ret_reason, size_t cap);

struct vm_output {
	const char *name;
	uint64_t max_bytes;
};

/* The arguments of a launch_request; they point into it. */
struct vm_command {
	const char *argv[LAUNCH_WORDS_MAX];
	size_t n, used;
	char text[VM_WORDS_BYTES];
};

/* `argv` are the stage's own. ERR_LIMIT. */
WARN_UNUSED int vm_command_make(struct vm_command *c, uint64_t guest_bytes, const struct vm_output *outputs, size_t n,
	const char *const *argv);

/* The command `perigee image`: build and check. The exit status. */
int image_main(int argc, char **argv);

#endif
