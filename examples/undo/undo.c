/* SPDX-License-Identifier: MIT */
/*
 * Rolling a region back: what was written since a snapshot is put back, and nothing
 * else is touched.
 *
 * The list of what was written comes from cowtrace_snapshot_diff(); reading with the
 * heap itself as the buffer is allowed.
 */
#include <cowtrace/snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Back to the snapshot; how many bytes were put back, or an error. */
static int undo(struct cowtrace_heap *heap, struct cowtrace_snapshot *to, size_t *ret_len)
{
	char *base = cowtrace_heap_base(heap);
	size_t offset = 0, nr, len = 0;
	struct cowtrace_run runs[64];
	int err = 0;

	while (!err && offset < cowtrace_heap_len(heap)) {
		err = cowtrace_snapshot_diff(to, NULL, offset, runs, 64, &nr, &offset);
		for (size_t i = 0; !err && i < nr; i++) {
			err = cowtrace_snapshot_read(to, runs[i].offset, base + runs[i].offset,
						     runs[i].len);
			len += runs[i].len;
		}
	}
	*ret_len = len;
	return err;
}

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "undo: %s: %s\n", what, cowtrace_strerror(err));
	exit(1);
}

int main(void)
{
	struct cowtrace_snapshot *save[3];
	struct cowtrace_heap *heap;
	char *text, *was[3];
	size_t len;

	check(cowtrace_heap_create(1 << 20, NULL, &heap), "heap");
	text = cowtrace_heap_base(heap);
	for (int i = 0; i < 3; i++) {
		for (size_t at = (size_t)i * 100; at < 1 << 20; at += 70000)
			sprintf(text + at, "edit %d at %zu", i, at);
		check(cowtrace_snapshot_take(heap, &save[i]), "save");
		was[i] = memcpy(malloc(1 << 20), text, 1 << 20);
	}
	memset(text + 300000, 'x', 100000);
	for (int i = 3; i-- > 0;) {
		check(undo(heap, save[i], &len), "undo");
		if (memcmp(text, was[i], 1 << 20)) {
			fprintf(stderr, "undo: not as it was at edit %d\n", i);
			return 1;
		}
		printf("back at edit %d: \"%s\" and so on; %zu KiB put back\n", i, text + i * 100,
		       len / 1024);
		cowtrace_snapshot_release(save[i]);
		free(was[i]);
	}
	cowtrace_heap_destroy(heap);
	return 0;
}
