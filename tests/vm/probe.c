/* SPDX-License-Identifier: MIT */
/*
 * The generation probe alone, static, for the lab's virtual machines: one line
 * that the lab understands.
 */
#include <stdio.h>

#include "sys/kgen.h"

int main(void)
{
	struct ct_kgen gen;
	int rc = ct_kgen_probe(&gen);

	if (rc) {
		printf("@@{\"probe\":\"error %d\"}\n", rc);
		return 1;
	}
	printf("@@{\"probe\":\"%s\",\"certain\":%s,\"took_ms\":%.1f}\n", gen.model,
	       gen.certain ? "true" : "false", gen.took_ns / 1e6);
	return 0;
}
