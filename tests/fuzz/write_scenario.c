/* SPDX-License-Identifier: MIT */
/* Writes the small trace of tests/unit/report to the file named: a seed for fuzzing. */
#include <err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../unit/report/scenario.h"

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: write_scenario OUTPUT");
	scenario_write_watched(argv[1]);
	return 0;
}
