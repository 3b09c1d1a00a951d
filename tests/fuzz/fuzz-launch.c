/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launch protocol: a start order and a result from the same bytes. What is taken is within every limit,
 * and written again it is the same bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "launch-wire.h"

static void fuzz_order(const uint8_t *data, size_t len)
{
	static struct launch_order order;
	static uint8_t again[2 * MSG_BYTES_MAX];
	struct rbuf r = rbuf_of(data, len);
	struct wbuf w = wbuf_of(again, sizeof(again));

	if (launch_order_read(&r, &order) < 0)
		return;
	ensure(launch_limits_check(&order.limits) == 0);
	ensure(order.argv[0] && order.argv[0][0] == '/');
	ensure(launch_order_write(&w, order.task, &order.limits, (const char *const *)order.argv,
		       (const char *const *)order.env) == 0);
	ensure(w.len == r.pos && memcmp(again, data, w.len) == 0);
}

static void fuzz_result(const uint8_t *data, size_t len)
{
	struct launch_result result;
	uint8_t again[1024];
	struct rbuf r = rbuf_of(data, len);
	struct wbuf w = wbuf_of(again, sizeof(again));

	if (launch_result_read(&r, &result) < 0)
		return;
	launch_result_write(&w, &result);
	ensure(w.err == 0 && w.len == r.pos && memcmp(again, data, w.len) == 0);
	ensure(strcmp(launch_end_name(result.how), "unknown") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_order(data, len);
	fuzz_result(data, len);
	return 0;
}
