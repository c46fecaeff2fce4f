/* SPDX-License-Identifier: MIT */
/* Whether an image of the heap can be what the writers had done at one instant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"

int judge_init(struct judge *j, struct run *r)
{
	memset(j, 0, sizeof(*j));
	j->run = r;
	for (uint32_t t = 0; t < r->nr_threads; t++) {
		j->last[t] = calloc(r->nr_cells, sizeof(uint64_t));
		if (!j->last[t])
			return -1;
	}
	return 0;
}

void judge_fini(struct judge *j)
{
	for (uint32_t t = 0; t < MAX_THREADS; t++)
		free(j->last[t]);
}

static uint64_t largest(const struct judge *j, void *image, uint32_t t)
{
	uint64_t k = 0;

	for (uint32_t c = 0; c < j->run->nr_cells; c++) {
		uint64_t n = cell_at(j->run, image, t, c)->number;

		k = n > k ? n : k;
	}
	return k;
}

/* Plays the writes of a thread up to number k; forward only, else from the start. */
static void play(struct judge *j, uint32_t t, uint64_t k)
{
	if (k < j->upto[t]) {
		memset(j->last[t], 0, j->run->nr_cells * sizeof(uint64_t));
		j->upto[t] = 0;
	}
	while (j->upto[t] < k) {
		j->upto[t]++;
		j->last[t][cell_of(j->run, t, j->upto[t])] = j->upto[t];
	}
}

static bool pattern_right(const struct cell *c, uint32_t t, uint64_t k)
{
	for (size_t i = 0; i < PATTERN_LEN; i++)
		if (c->pattern[i] != (k ? pattern_of(t, k) : 0))
			return false;
	return true;
}

static int judge_thread(struct judge *j, void *image, uint32_t t, const uint64_t *upto)
{
	struct run *r = j->run;
	uint32_t making = cell_of(r, t, upto[t] + 1);
	int bad = 0;

	play(j, t, upto[t]);
	for (uint32_t c = 0; c < r->nr_cells; c++) {
		const struct cell *cell = cell_at(r, image, t, c);
		uint64_t k = cell->number;

		if (k != j->last[t][c]) {
			printf("thread %u cell %u: number %lu, should be %lu of %lu\n", t, c, k,
			       j->last[t][c], upto[t]);
			bad++;
		} else if (c != making && !pattern_right(cell, t, k)) {
			printf("thread %u cell %u: torn at number %lu of %lu\n", t, c, k, upto[t]);
			bad++;
		}
		for (uint32_t o = 0; c != making && k && o < r->nr_threads; o++) {
			if (cell->seen[o] <= upto[o])
				continue;
			printf("thread %u number %lu has seen %lu of thread %u, which has %lu\n", t,
			       k, cell->seen[o], o, upto[o]);
			bad++;
		}
	}
	return bad;
}

int judge_image(struct judge *j, void *image)
{
	uint64_t upto[MAX_THREADS] = { 0 };
	int bad = 0;

	for (uint32_t t = 0; t < j->run->nr_threads; t++)
		upto[t] = largest(j, image, t);
	for (uint32_t t = 0; t < j->run->nr_threads; t++)
		bad += judge_thread(j, image, t, upto);
	return bad;
}
