/* SPDX-License-Identifier: Apache-2.0 */
/* `perigee receive`. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/log.h"
#include "receive.h"

#define LINGER_MS 5000 /* how long the sender may take to acknowledge the last Finished */

struct running {
	uv_loop_t loop;
	struct receive *receive;
	uv_signal_t signal[2];
	uv_timer_t linger;
};

static void on_signal(uv_signal_t *s, int number)
{
	uv_stop(s->loop);
}

static void on_linger(uv_timer_t *t)
{
	uv_stop(t->loop);
}

static void on_turn(void *user)
{
	struct running *run = user;
	if (receive_done(run->receive))
		uv_stop(&run->loop);
	else if (receive_reached(run->receive) && !uv_is_active((uv_handle_t *)&run->linger))
		(void)uv_timer_start(&run->linger, on_linger, LINGER_MS, 0);
}

static void close_any(uv_handle_t *h, void *unused)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void report_end(const struct receive_options *o, const struct receive *r)
{
	struct receive_counts c;
	receive_counts(r, &c);
	if (!o->report)
		return;
	if (o->json)
		fprintf(o->report,
			"{\"event\":\"end\",\"batches\":%u,\"refused\":%u,\"repeated\":%u,\"runs\":%u,"
			"\"results\":%u,"
			"\"duplicates\":%u,\"bytes\":%llu}\n",
			c.batches, c.refused, c.repeated, c.runs, c.results, c.duplicates,
			(unsigned long long)c.bytes);
	else
		fprintf(o->report,
			"%u batches accepted, %u refused, %u repeated; %u results, %u runs in the folder\n",
			c.batches, c.refused, c.repeated, c.results, c.runs);
	fflush(o->report);
}

int receive_run(const struct receive_options *o)
{
	struct running run = {0};
	static const int numbers[2] = {SIGINT, SIGTERM};
	int r = uv_loop_init(&run.loop);
	if (r < 0)
		return r;
	r = receive_create(&run.loop, o, &run.receive);
	if (r >= 0) {
		(void)uv_timer_init(&run.loop, &run.linger);
		for (int i = 0; i < 2; i++) {
			(void)uv_signal_init(&run.loop, &run.signal[i]);
			(void)uv_signal_start(&run.signal[i], on_signal, numbers[i]);
		}
		receive_on_turn(run.receive, on_turn, &run);
		if (o->report && o->json)
			fprintf(o->report, "{\"event\":\"listening\",\"port\":%u}\n",
				receive_port(run.receive));
		else if (o->report)
			fprintf(o->report, "listening on UDP port %u\n", receive_port(run.receive));
		if (o->report)
			fflush(o->report);
		if (!receive_done(run.receive)) /* an earlier life may have done it all */
			uv_run(&run.loop, UV_RUN_DEFAULT);
		report_end(o, run.receive);
		receive_destroy(run.receive);
	}
	uv_walk(&run.loop, close_any, NULL);
	uv_run(&run.loop, UV_RUN_DEFAULT);
	ensure(uv_loop_close(&run.loop) == 0);
	return r < 0 ? r : 0;
}

static const char help[] =
	"Usage: perigee receive --listen ADDR:PORT --out DIR --key FILE [options]\n"
	"\n"
	"The ground's end of the link. Receives batches by CFDP in space packets over UDP, checks each "
	"one's\n"
	"signature and the digest of all that is in it, and files the results. Runs until it is "
	"interrupted.\n"
	"\n"
	"  -l, --listen ADDR:PORT  where packets arrive (port 0: any free one, which is printed)\n"
	"  -o, --out DIR           where everything goes, made when it is missing\n"
	"  -k, --key FILE          the spacecraft's public key, in the minisign format\n"
	"  -t, --to ADDR:PORT      where answers go (default: to whoever sent the last valid packet)\n"
	"      --once N            end after N batches were accepted\n"
	"      --runs N            end when DIR has results of N runs\n"
	"      --json              one JSON object a line instead of text\n"
	"  -h, --help              this text\n"
	"\n"
	"In DIR:  results/RUN/     the products of a run, and run.json: where each came from\n"
	"         stac/            a STAC catalogue, one item a run\n"
	"         batches/         the batches as they came: minisign -V -p KEY -m DIR/batches/NAME.tar\n"
	"         rejected/        what was refused, with NAME.reason\n"
	"\n"
	"It may be killed at any time and started again: nothing is lost and nothing is filed twice.\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failed, 64 usage, 66 the key cannot be used.\n"
	"\n"
	"Example: perigee receive --listen 127.0.0.1:4560 --out ground-out --key mission.pub --once 1\n";

/* "127.0.0.1:4560" */
static int parse_address(const char *text, struct sockaddr_in *ret_address)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	char *end;
	if (!colon || (size_t)(colon - text) >= sizeof(host) || !colon[1])
		return ERR_FORMAT;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	errno = 0;
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (errno || *end || colon[1] < '0' || colon[1] > '9' || port > UINT16_MAX)
		return ERR_FORMAT;
	return uv_ip4_addr(host, (int)port, ret_address) < 0 ? ERR_FORMAT : 0;
}

static int parse_count(const char *text, unsigned *ret)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || n < 1 || n > 1000000000)
		return ERR_FORMAT;
	*ret = (unsigned)n;
	return 0;
}

enum { OPT_ONCE = 256, OPT_RUNS, OPT_JSON };

static int parse_option(struct receive_options *o, int c, const char *arg)
{
	const char *expected = "an address such as 127.0.0.1:4560";
	int r = 0;
	switch (c) {
	case 'l':
		r = parse_address(arg, &o->listen);
		break;
	case 't':
		r = parse_address(arg, &o->to);
		break;
	case 'o':
		o->out = arg;
		break;
	case 'k':
		o->key = arg;
		break;
	case OPT_ONCE:
	case OPT_RUNS:
		r = parse_count(arg, c == OPT_ONCE ? &o->once_batches : &o->once_runs);
		expected = "a number of 1 or more";
		break;
	case OPT_JSON:
		o->json = true;
		break;
	default:
		return ERR_FORMAT; /* getopt has said what */
	}
	if (r < 0)
		fprintf(stderr, "perigee receive: found \"%s\", expected %s\n", arg, expected);
	return r;
}

int receive_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"to", required_argument, NULL, 't'},
		{"out", required_argument, NULL, 'o'},
		{"key", required_argument, NULL, 'k'},
		{"once", required_argument, NULL, OPT_ONCE},
		{"runs", required_argument, NULL, OPT_RUNS},
		{"json", no_argument, NULL, OPT_JSON},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct receive_options o = {.report = stdout};
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "l:t:o:k:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (parse_option(&o, c, optarg) < 0)
			return EX_USAGE;
	}
	if (optind < argc || !o.listen.sin_family || !o.out || !o.key) {
		if (optind < argc)
			fprintf(stderr, "perigee receive: unexpected argument \"%s\"\n", argv[optind]);
		else
			fprintf(stderr, "perigee receive: --listen, --out and --key are needed\n");
		fprintf(stderr, "Try: perigee receive --help\n");
		return EX_USAGE;
	}
	int r = receive_run(&o);
	if (r == ERR_KEY || r == -ENOENT) {
		fprintf(stderr, "perigee receive: %s: %s\n", o.key, err_text(r));
		return EX_NOINPUT;
	}
	if (r < 0)
		fprintf(stderr, "perigee receive: %s\n", err_text(r));
	return r < 0 ? 1 : 0;
}
