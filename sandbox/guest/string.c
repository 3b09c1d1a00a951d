/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

/* The string instructions: short, and as fast as anything under emulation and on new processors. */
void *memcpy(void *to, const void *from, size_t n)
{
	void *at = to;
	size_t words = n / 8, bytes = n % 8;

	__asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;

	if (t <= f || t >= f + n)
		return memcpy(to, from, n);
	while (n--)
		t[n] = f[n];
	return to;
}

void *memset(void *at, int byte, size_t n)
{
	void *to = at;
	size_t words = n / 8, bytes = n % 8;
	uint64_t pattern = 0x0101010101010101ull * (uint8_t)byte;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
	return at;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (unsigned char)*a - (unsigned char)*b;
}

struct writer {
	char *to;
	size_t cap, n;
};

static void put(struct writer *w, char c)
{
	if (w->n + 1 < w->cap)
		w->to[w->n++] = c;
}

static void put_number(struct writer *w, uint64_t v, unsigned base, unsigned width, char pad)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	while (width-- > n)
		put(w, pad);
	while (n)
		put(w, digits[--n]);
}

size_t format_list(char *to, size_t cap, const char *fmt, va_list ap)
{
	struct writer w = {to, cap, 0};

	for (; *fmt; fmt++) {
		unsigned width = 0;
		char pad = ' ';
		bool is_long = false;

		if (*fmt != '%') {
			put(&w, *fmt);
			continue;
		}
		if (*++fmt == '0')
			pad = *fmt++;
		for (; *fmt >= '0' && *fmt <= '9'; fmt++)
			width = width * 10 + (unsigned)(*fmt - '0');
		for (; *fmt == 'l' || *fmt == 'z'; fmt++)
			is_long = true;
		switch (*fmt) {
		case 's':
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put(&w, *s);
			break;
		case 'c':
			put(&w, (char)va_arg(ap, int));
			break;
		case 'd': {
			int64_t v = is_long ? va_arg(ap, int64_t) : va_arg(ap, int);
			if (v < 0)
				put(&w, '-');
			put_number(&w, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, width, pad);
			break;
		}
		case 'u':
		case 'x':
			put_number(&w, is_long ? va_arg(ap, uint64_t) : va_arg(ap, unsigned),
				*fmt == 'x' ? 16 : 10, width, pad);
			break;
		default:
			put(&w, *fmt);
		}
	}
	if (cap)
		to[w.n] = '\0';
	return w.n;
}

size_t format(char *to, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	size_t n = format_list(to, cap, fmt, ap);
	va_end(ap);
	return n;
}
