/* SPDX-License-Identifier: MIT */
/* Dumping a heap's image to a file: stopping the world, by fork, by snapshot. */
#ifndef KVSNAP_DUMP_H
#define KVSNAP_DUMP_H

#include <cowtrace/snapshot.h>
#include <stdbool.h>

enum dump_how { DUMP_STOP, DUMP_FORK, DUMP_SNAPSHOT };

struct dump_result {
	double pause_us; /* how long the caller was held */
	double took_ms;	 /* until the file was complete */
	bool ok;
};

/* False: one is running already, or it could not begin.  DUMP_STOP ends before. */
bool dump_begin(struct cowtrace_heap *heap, const char *path, enum dump_how how, double mib_per_s);
bool dump_running(void);
struct dump_result dump_last(void);

#endif
