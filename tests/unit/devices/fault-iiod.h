/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device server that misbehaves on purpose, in a process of its own, on a loopback port that the kernel
 * chose. It speaks just enough of the IIOD text protocol to get a client to the point where it does so. How
 * many times: the first `times` occasions; after that it behaves, so that a test sees the client come back.
 */
#ifndef TEST_FAULT_IIOD_H
#define TEST_FAULT_IIOD_H

#include <stdint.h>
#include <sys/types.h>

enum fault {
	FAULT_NONE,
	FAULT_REFUSE,         /* closes each connection at once */
	FAULT_SILENT,         /* accepts, and never says a word */
	FAULT_GARBAGE,        /* answers PRINT with bytes that are no answer */
	FAULT_BAD_XML,        /* a camera whose samples have no size */
	FAULT_CUT,            /* half a frame, then the connection closes */
	FAULT_STALL,          /* half a frame, then nothing */
	FAULT_TOO_MUCH,       /* a frame longer than was asked for, which overruns libiio 0.24's buffer */
	FAULT_FRAME_GARBAGE,  /* READBUF answered with bytes that are no answer */
	FAULT_SHORT,          /* a frame shorter than was asked for, properly ended */
	FAULT_SIZE,           /* the first frame has another size than the attributes said before it */
	FAULT_DRIP,           /* PRINT answered one byte at a time, for ever */
	FAULT_NO_ID,          /* a camera without frame_id and frame_release */
	FAULT_RELEASE_DENIED, /* frame_release answers -EPERM, and the frame comes again */
	FAULT_NO_FRAMES,      /* an idle camera */
};

struct fault_iiod {
	pid_t pid;
	uint16_t port;
};

#define FAULT_WIDTH 40
#define FAULT_HEIGHT 30
#define FAULT_BANDS 3 /* red, green, blue; le:u16/16>>0 */

/* Frames are numbered from 1 ("frame-1", …); `frames` of them, then the camera is idle. Sample k (counted
 * from 0 in the delivered order) of frame n has the value (k * 7 + n) modulo 65536. */
struct fault_iiod fault_iiod_start(enum fault fault, int times, int frames);
void fault_iiod_stop(struct fault_iiod *s);

#endif
