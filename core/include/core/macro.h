/* SPDX-License-Identifier: Apache-2.0 */
/* Small language helpers: ownership, bounds, assertions. */
#ifndef CORE_MACRO_H
#define CORE_MACRO_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))

/* Hands over a resource: evaluates to it and leaves nothing behind for the cleanup attribute. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *take_at_ = &(p);                                                    \
		__typeof__(p) take_ = *take_at_;                                                   \
		*take_at_ = NULL;                                                                  \
		take_;                                                                             \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *take_at_ = &(fd);                                                             \
		int take_ = *take_at_;                                                             \
		*take_at_ = -1;                                                                    \
		take_;                                                                             \
	})

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_fd_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_file_(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define CLEAN_FREE __attribute__((cleanup(cleanup_free_)))
#define CLEAN_FD __attribute__((cleanup(cleanup_fd_)))
#define CLEAN_FILE __attribute__((cleanup(cleanup_file_)))
#define CLEAN(fn) __attribute__((cleanup(fn)))

/* Defines the function that CLEAN(fn) needs from a destroy function that takes NULL. */
#define DEFINE_CLEANUP(type, destroy, name)                                                        \
	static inline void name(type *p)                                                           \
	{                                                                                          \
		if (*p)                                                                            \
			destroy(*p);                                                               \
	}

/* For bugs only: always compiled, never with side effects, never about input from outside. */
#define ensure(cond)                                                                               \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			ensure_failed_(#cond, __FILE__, __LINE__, __func__);                       \
	} while (0)

_Noreturn void ensure_failed_(const char *cond, const char *file, int line, const char *func);

#endif
