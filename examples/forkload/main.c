/* SPDX-License-Identifier: MIT */
/*
 * forkload: a fork tree whose copy-on-write is known to the page, printed as
 * JSON.  It is the truth that tests hold tracers against, so no tracer's code is
 * in it: only the public header, for the tags that --tag asks for.
 *
 * Invariant: whatever is compared lies in the named regions (regions.c), on
 * pages that nothing else in the program touches.
 */
#include "forkload.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_PAGES 64

void fl_die(const char *what)
{
	fprintf(stderr, "forkload[%d]: %s: %s\n", getpid(), what, strerror(errno));
	_exit(2);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: forkload [options]\n"
		    "Forks, writes and drops known numbers of pages; prints the truth as JSON.\n"
		    "  --threads N   each process writes by N threads (default 1, at most 64)\n"
		    "  --scale N     N times as many pages (default 1, at most 64)\n"
		    "  --huge        with a region of huge pages\n"
		    "  --pair        one child only, and nothing is dropped\n"
		    "  --kill        with a last child that is killed\n"
		    "  --tag         names the regions for cowtrace\n");
}

static uint32_t number(const char *text, uint32_t max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!v || v > max || *end) {
		fprintf(stderr, "forkload: \"%s\" is not a number from 1 to %u\n", text, max);
		exit(2);
	}
	return (uint32_t)v;
}

static struct fl *options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "threads", required_argument, NULL, 't' },
		{ "scale", required_argument, NULL, 's' },
		{ "huge", no_argument, NULL, 'H' },
		{ "kill", no_argument, NULL, 'k' },
		{ "tag", no_argument, NULL, 'T' },
		{ "pair", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL },
	};
	uint32_t nr_threads = 1, scale = 1;
	bool huge = false, kill = false, tag = false, pair = false;
	struct fl *fl;
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 't')
			nr_threads = number(optarg, 64);
		else if (c == 's')
			scale = number(optarg, 64);
		else if (c == 'H')
			huge = true;
		else if (c == 'k')
			kill = true;
		else if (c == 'T')
			tag = true;
		else if (c == 'p')
			pair = true;
		else {
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	fl = fl_create(nr_threads, scale, huge);
	fl->kill = kill;
	fl->tag = tag;
	fl->pair = pair;
	return fl;
}

/*
 * A frame of its own around the array, so that what runs below it, and writes
 * to the stack, is at least a page away from it.
 */
static __attribute__((noinline)) int run(struct fl *fl)
{
	unsigned char array[(STACK_PAGES + 4) * FL_PAGE];
	uintptr_t at = ((uintptr_t)array + 2 * FL_PAGE) & ~(FL_PAGE - 1);
	uint64_t moved;
	int ret;

	fl_regions_map(fl, (void *)at);
	fl_regions_fill(fl);
	moved = fl_frames_moved();
	ret = fl_scenario(fl);
	fl->moved_pages = fl_frames_moved() - moved;
	__asm__ volatile("" : : "r"(array) : "memory");
	return ret;
}

int main(int argc, char **argv)
{
	struct fl *fl = options(argc, argv);
	int ret;

	/* A bug in the story must not hang whoever waits for us. */
	alarm(120);
	fl->pfn = fl_frames_probe();
	fl_proc_begin(fl, FL_P, FL_PARENT);
	ret = run(fl);
	fl_print(fl);
	return ret ? 1 : 0;
}
