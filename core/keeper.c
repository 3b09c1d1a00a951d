/* SPDX-License-Identifier: Apache-2.0 */
#include "core/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "core/clock.h"
#include "core/log.h"

#define RESPAWN_MIN_MS 100
#define RESPAWN_MAX_MS 5000
#define STEADY_NS (10 * NS_PER_S) /* whoever lived so long begins with the shortest delay again */

static bool worth_another(int wait_status)
{
	return WIFSIGNALED(wait_status) ||
	       (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == EX_SOFTWARE);
}

int keep_running(const char *name, int (*run)(void *arg), void *arg)
{
	sigset_t waited, before;
	int64_t delay_ms = RESPAWN_MIN_MS;

	sigemptyset(&waited);
	sigaddset(&waited, SIGCHLD);
	sigaddset(&waited, SIGTERM);
	sigaddset(&waited, SIGINT);
	sigprocmask(SIG_BLOCK, &waited, &before);
	char title[16];
	snprintf(title, sizeof(title), "%.8s-keeper", name);
	prctl(PR_SET_NAME, title);
	for (;;) {
		struct mono_time started = clock_mono();
		pid_t keeper = getpid(), pid = fork();
		bool ending = false;
		int status, signal;

		if (pid < 0)
			return EX_OSERR;
		if (pid == 0) {
			prctl(PR_SET_NAME, name);
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
				_exit(EX_OSERR);
			sigprocmask(SIG_SETMASK, &before, NULL);
			exit(run(arg));
		}
		while (waitpid(pid, &status, WNOHANG) == 0) {
			signal = sigwaitinfo(&waited, NULL);
			if (signal == SIGTERM || signal == SIGINT) {
				ending = true;
				kill(pid, SIGTERM);
			}
		}
		if (ending || !worth_another(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
		if (clock_mono().ns - started.ns > STEADY_NS)
			delay_ms = RESPAWN_MIN_MS;
		log_error("%s ended (%s %d); starting it again in %lld ms", name,
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)delay_ms);
		struct timespec wait = {.tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * NS_PER_MS};
		signal = sigtimedwait(&waited, NULL, &wait);
		if (signal == SIGTERM || signal == SIGINT)
			return 0;
		delay_ms = 2 * delay_ms < RESPAWN_MAX_MS ? 2 * delay_ms : RESPAWN_MAX_MS;
	}
}
