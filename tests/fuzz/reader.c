/* SPDX-License-Identifier: MIT */
/*
 * Fuzzing of everything that reads a trace: the store's reader, the report, the
 * JSON.  Any bytes may be refused; none may crash, hang or be read past.
 *
 * LLVMFuzzerTestOneInput() is libFuzzer's entry; without clang mutate.c drives
 * it with changes to good traces.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "export/json.h"
#include "fuzz.h"

/* Visits every row through the public accessors, as a program would. */
static size_t visit(const struct cowtrace_report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < cowtrace_report_nr_reconcile(r); i++)
		n += cowtrace_report_reconcile(r, i)->nr_reasons;
	for (size_t i = 0; i < cowtrace_report_nr_groups(r); i++)
		n += cowtrace_report_group(r, i)->nr_forks;
	return n;
}

static void report(const char *path, const struct cowtrace_report_options *o)
{
	struct cowtrace_report *r;
	char why[COWTRACE_REPORT_WHY_LEN];
	FILE *out;

	if (cowtrace_report_open(path, o, &r, why))
		return;
	visit(r);
	out = fopen("/dev/null", "w");
	if (out) {
		ct_export_json(r, out);
		fclose(out);
	}
	cowtrace_report_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cowtrace_report_options all = { .sz = sizeof(all), .no_symbols = true };
	struct cowtrace_report_options some = {
		.sz = sizeof(some), .no_symbols = true, .process = 101, .since_ns = 1, .top = 3
	};
	char path[] = "/tmp/ct-fuzz-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
	report(path, &all);
	report(path, &some);
	unlink(path);
	return 0;
}
