/* SPDX-License-Identifier: MIT */
/*
 * A period of N raises the signal at every N-th fault, of its thread alone, and for
 * the fault at which the count is full.
 */
#include <stdio.h>
#include <unistd.h>

#include "trap.h"

#define PAGES 1024

int main(void)
{
	static const uint64_t periods[] = { 1, 2, 7, 64 };

	trap_init(NULL, SIZE_MAX / PAGE);
	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		char *page = lab_map(PAGES);
		uint32_t nr = 0, at_place = 0;
		int fd = trap_open((struct trap_opts){ .period = periods[i] });

		trap_reset();
		for (uint32_t k = 0; k < PAGES; k++) {
			uint32_t n = trap_store(page + (size_t)k * PAGE);

			nr += n;
			at_place += n && traps->addr == (uint64_t)(page + (size_t)k * PAGE);
		}
		close(fd);
		printf("period %llu: %u signals of %d faults\n", (unsigned long long)periods[i], nr,
		       PAGES);
		check(nr + 1 >= PAGES / periods[i] && nr <= PAGES / periods[i] + 1,
		      "period %llu: %u signals", (unsigned long long)periods[i], nr);
		check(at_place == nr, "%u of %u signals name the page that was written", at_place,
		      nr);
	}
	return lab_result();
}
