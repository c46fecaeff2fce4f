/* SPDX-License-Identifier: MIT */
/*
 * A hostile traced program: it forks, and meanwhile fills the segment with lies
 * that look like the real thing (events with good tickets, asks of slots that are
 * in use, times and numbers at the edges) and with plain rubbish.  The recorder
 * must live through it; what it writes down of this program is worth nothing.
 *
 * usage: liar SECONDS SEED
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/ring.h"

static u64 seed;

static u64 rnd(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static u64 edge(void)
{
	static const u64 edges[] = { 0,		 1,	     4095,	 4096,
				     1ULL << 21, 1ULL << 31, 1ULL << 47, (1ULL << 56) - 4096,
				     1ULL << 63, UINT64_MAX };

	switch (rnd() % 4) {
	case 0:
		return edges[rnd() % ct_array_size(edges)];
	case 1:
		return rnd() % 64;
	case 2:
		return 0x7f0000000000 + (rnd() % (1 << 20)) * 4096;
	default:
		return ct_now_ns() - rnd() % (1 << 30);
	}
}

static struct ct_segment *find_segment(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	u64 start = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, CT_SEG_MEMFD_NAME))
			start = strtoull(line, NULL, 16);
	if (f)
		fclose(f);
	return (struct ct_segment *)(uintptr_t)start;
}

static void lie_in_the_ring(struct ct_segment *seg, u32 slot)
{
	struct ct_event ev = {
		.type = (u16)(1 + rnd() % (CT_EV_NR - 1)),
		.nr_pcs = (u16)(rnd() % 12),
		.slot = rnd() % 8 ? slot : (u32)(rnd() % CT_SEG_SLOTS),
		.tid = (u32)rnd(),
		.dur_ns = (u32)rnd(),
		.t_ns = edge(),
		.addr = edge(),
		.len = edge(),
		.arg = edge(),
		.arg2 = edge(),
		.arg3 = edge(),
	};

	ev.pcs[rnd() % 12] = edge();
	ct_ring_put(seg, &ev);
}

static void lie_in_a_slot(struct ct_segment *seg, u32 own)
{
	u32 idx = rnd() % 4 ? own + (u32)(rnd() % 8) : (u32)(rnd() % CT_SEG_SLOTS);
	struct ct_slot *s = &seg->slots[idx % CT_SEG_SLOTS];

	switch (rnd() % 12) {
	case 0:
		atomic_store(&s->ask, (u32)(rnd() % 8));
		break;
	case 1:
		atomic_store(&s->state, (u32)(rnd() % 4));
		break;
	case 2:
		atomic_store(&s->pid, rnd() % 3 ? (s32)getpid() : (s32)edge());
		break;
	case 3:
		s->parent_slot = rnd() % 2 ? own : (u32)edge();
		break;
	case 4:
		s->clone_ns = edge();
		break;
	case 5:
		s->born_ns = edge();
		break;
	case 6:
		atomic_store(&s->forks_begun, (u32)edge());
		break;
	case 7:
		s->nr_pcs = (u32)edge();
		break;
	case 8:
		s->phase = (u32)(rnd() % 70);
		break;
	case 9:
		memset(s->exec_path, 'x', sizeof(s->exec_path));
		break;
	case 10:
		memset(seg->phases, 'p', sizeof(seg->phases));
		break;
	default:
		s->sp = s->tp = edge();
		break;
	}
	atomic_fetch_or(&seg->asking[idx % CT_SEG_SLOTS / 64], 1ULL << (idx % 64));
}

static void scribble(struct ct_segment *seg)
{
	/* Not its head: a segment that is off is no more work for anybody. */
	u64 *at = (u64 *)((char *)seg + 64 + (rnd() % (sizeof(*seg) - 128)) / 8 * 8);

	*at = edge();
}

static u32 own_slot(struct ct_segment *seg)
{
	u32 i;

	for (i = 0; i < CT_SEG_SLOTS; i++)
		if (atomic_load(&seg->slots[i].state) == CT_SLOT_LIVE &&
		    atomic_load(&seg->slots[i].pid) == (s32)getpid())
			return i;
	return 0;
}

int main(int argc, char **argv)
{
	struct ct_segment *seg = find_segment();
	u64 until = ct_now_ns();
	u32 own, round, i;

	if (argc != 3 || !seg)
		return 2;
	until += (u64)atoi(argv[1]) * CT_NSEC_PER_SEC;
	seed = strtoull(argv[2], NULL, 10) * 2654435761u + 1;
	own = own_slot(seg);
	for (round = 0; ct_now_ns() < until; round++) {
		for (i = 0; i < 200; i++)
			lie_in_the_ring(seg, own);
		for (i = 0; i < 20; i++)
			lie_in_a_slot(seg, own);
		if (round % 4 == 0)
			scribble(seg);
		ct_bell_ring(seg);
		if (round % 50 == 0) {
			pid_t pid = fork();

			if (pid == 0)
				_exit(0);
			if (pid > 0)
				waitpid(pid, NULL, 0);
		}
	}
	return 0;
}
