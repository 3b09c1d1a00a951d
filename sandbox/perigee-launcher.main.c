/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perigee-launcher: started by perigeed as root with a socket on descriptor 3. It keeps of root only what
 * starting containers needs, and takes no file names from anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>

#include "core/log.h"
#include "launch-wire.h"
#include "launcher.h"

static const int kept[] = {
	CAP_SYS_ADMIN,    /* namespaces, mounts */
	CAP_SETUID,       /* the map of users of a cell */
	CAP_SETGID,       /* the map of groups of a cell */
	CAP_KILL,         /* cells, whose processes have other users */
	CAP_SYS_RESOURCE, /* its own place in the order of killing for memory */
	CAP_DAC_OVERRIDE, /* control groups and /proc files of other users */
};

static int keep_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0}, have[2] = {0};

	if (syscall(SYS_capget, &header, have) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		data[kept[i] / 32].permitted |= 1u << kept[i] % 32;
		data[kept[i] / 32].effective |= 1u << kept[i] % 32;
	}
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (data[cap / 32].permitted & 1u << cap % 32)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return -errno;
	}
	/* In some containers even root has less. What is really needed shows when the first cell is made. */
	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		data[i].permitted &= have[i].permitted;
		data[i].effective &= have[i].permitted;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return -errno;
	return 0;
}

static void live_longest(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* Without it the launcher works as well, until the machine is out of memory. */
	if (fd < 0 || write(fd, "-1000", 5) < 0)
		log_debug("/proc/self/oom_score_adj: %s", err_text(-errno));
	if (fd >= 0)
		close(fd);
}

static int confine(void)
{
	struct rlimit none = {0, 0};

	if (setgroups(0, NULL) < 0)
		return -errno;
	live_longest();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return keep_capabilities();
}

static int check_socket(void)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(LAUNCH_SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	len = sizeof(domain);
	if (getsockopt(LAUNCH_SOCKET_FD, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	return type == SOCK_SEQPACKET && domain == AF_UNIX ? 0 : -EPROTOTYPE;
}

static int serve(void)
{
	struct launcher_server *server;
	char reason[512] = "";
	int err = launcher_server_create(LAUNCH_SOCKET_FD, &server, reason, sizeof(reason));

	if (err < 0) {
		log_error("cannot start: %s", reason);
		return err == ERR_SANDBOX ? EX_UNAVAILABLE : EX_OSERR;
	}
	err = launcher_server_run(server);
	launcher_server_destroy(server);
	if (err < 0)
		log_error("%s", err_text(err));
	return err < 0;
}

int main(int argc, char **argv)
{
	int err;

	log_init("perigee-launcher", LOG_LEVEL_INFO);
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("perigee-launcher " PERIGEE_VERSION);
		return 0;
	}
	if (check_socket() < 0) {
		fprintf(stderr, "perigee-launcher is started by perigeed, with a socket on descriptor %d\n",
			LAUNCH_SOCKET_FD);
		return EX_USAGE;
	}
	if (syscall(SYS_close_range, LAUNCH_SOCKET_FD + 1, ~0U, 0) < 0)
		return 1;
	/* A terminal's ^C reaches the supervisor, and this process through the end of its socket. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (geteuid() != 0) {
		log_error("needs to be started as root");
		return EX_NOPERM;
	}
	err = confine();
	if (err < 0) {
		log_error("cannot confine itself: %s", err_text(err));
		return 1;
	}
	return serve();
}
