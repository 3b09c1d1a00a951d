/* SPDX-License-Identifier: Apache-2.0 */
/* Space packets one after another: what is taken can be written again and gives the same bytes. */
#include <string.h>

#include "fuzz.h"
#include "spacepacket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t again[SPACEPACKET_HEADER_BYTES + SPACEPACKET_DATA_BYTES_MAX];
	struct spacepacket_counts counts = {0};
	struct spacepacket p;
	uint64_t n = 0;

	while (len) {
		int used = spacepacket_decode(data, len, &p);
		if (used < 0) {
			ensure(used == ERR_FORMAT);
			break;
		}
		ensure((size_t)used <= len && used > SPACEPACKET_HEADER_BYTES);
		ensure(spacepacket_encode(&p, again, sizeof(again)) == used);
		ensure(memcmp(again, data, (size_t)used) == 0);
		spacepacket_account(&counts, &p);
		ensure(counts.received == ++n && counts.gaps + counts.late < n &&
			counts.missing >= counts.gaps);
		data += used;
		len -= (size_t)used;
	}
	return 0;
}
