/* SPDX-License-Identifier: Apache-2.0 */
/* The end: what the launcher hears, and how the machine stops. */
#include "end.h"

#include "file.h"

#define EXIT_PORT 0x501 /* QEMU's isa-debug-exit */
#define LINE_BYTES 256

static void line_to(enum port port, const char *before, const char *fmt, va_list ap)
{
	char line[LINE_BYTES];
	size_t n = format(line, sizeof(line) - 1, "%s", before);

	n += format_list(line + n, sizeof(line) - 1 - n, fmt, ap);
	line[n++] = '\n';
	port_write(port, line, n);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_to(PORT_LOG, "guest: ", fmt, ap);
	va_end(ap);
}

void tell(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_to(PORT_CONTROL, "", fmt, ap);
	va_end(ap);
}

static _Noreturn void stop(void)
{
	out8(EXIT_PORT, 0);
	/* Without that device: a triple fault, which ends a QEMU that was told not to reboot. */
	static const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} nothing = {0, 0};
	for (;;)
		__asm__ volatile("lidt %0; int3" : : "m"(nothing));
}

static void tell_use(void)
{
	tell("use %lu %lu %lu", (uint64_t)pages_used_most(), files_bytes_read, files_bytes_written);
}

_Noreturn void end_exited(int code)
{
	int r = files_finish();

	tell_use();
	if (r < 0)
		tell("end guest an output could not be written: error %d", -r);
	else
		tell("end exited %d", code);
	stop();
}

_Noreturn void end_signalled(int number, const char *why)
{
	tell_use();
	tell("end signal %d %s", number, why);
	stop();
}

_Noreturn void end_limit(const char *which, const char *why)
{
	tell_use();
	tell("end limit %s %s", which, why);
	stop();
}

_Noreturn void panic(const char *fmt, ...)
{
	static bool again;
	va_list ap;

	if (!again) {
		again = true;
		va_start(ap, fmt);
		line_to(PORT_CONTROL, "end guest ", fmt, ap);
		va_end(ap);
	}
	stop();
}

uint64_t __stack_chk_guard = 0x595e9fbd94fda766ull; /* until main.c has a random one */

_Noreturn void __stack_chk_fail(void);
_Noreturn void __stack_chk_fail(void)
{
	panic("the kernel's stack was overwritten");
}
