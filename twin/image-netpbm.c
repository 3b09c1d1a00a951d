/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "image-read.h"

int image_read_netpbm(
	const uint8_t *file, size_t len, struct image *ret_image, char reason[IMAGE_REASON_BYTES])
{
	struct pam form;
	int head = pam_parse(file, len, &form);

	if (head < 0)
		return image_bad(reason, "the Netpbm header is malformed, or not one of P5, P6, P7");
	uint64_t want = pam_data_bytes(&form);
	if (len - (size_t)head < want)
		return image_bad(reason, "cut off: %u x %u x %u needs %llu bytes of samples, found %zu",
			form.width, form.height, form.depth, (unsigned long long)want, len - (size_t)head);
	struct image image;
	int err = image_allocate(&form, &image, reason);
	if (err)
		return err;
	memcpy(image.data, file + head, (size_t)want);
	/* No sample may exceed the largest value that the header allows. */
	size_t n = (size_t)form.width * form.height * form.depth;
	for (size_t i = 0; i < n && form.maxval != 255 && form.maxval != 65535; i++) {
		unsigned v = form.maxval > 255 ? (unsigned)image.data[2 * i] << 8 | image.data[2 * i + 1]
					       : image.data[i];
		if (v > form.maxval) {
			image_finish(&image);
			return image_bad(reason, "sample %zu is %u, above the header's maximum of %u", i, v,
				form.maxval);
		}
	}
	*ret_image = image;
	return 0;
}
