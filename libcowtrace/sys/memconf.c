/* SPDX-License-Identifier: MIT */
/*
 * /sys/kernel/mm and /proc/sys/vm, as far as a fork has to do with them.
 *
 * Invariant: what cannot be read differs from every value that can.
 */
#include "sys/memconf.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "sys/procfile.h"
#include "sys/setting.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"
#define KSM "/sys/kernel/mm/ksm/"
#define VM "/proc/sys/vm/"

static s64 number(const char *path)
{
	s64 v;

	return ct_setting_number(path, &v) ? -1 : v;
}

static void word(const char *path, char *to, size_t len)
{
	if (ct_setting_word(path, to, len))
		*to = 0;
}

static void add_size(struct ct_memconf *m, const char *name)
{
	char path[320];
	u32 kib, at = (u32)m->nr_mthp;

	if (sscanf(name, "hugepages-%ukB", &kib) != 1 || m->nr_mthp == CT_MEMCONF_SIZES)
		return;
	while (at && m->mthp[at - 1].kib > kib) {
		m->mthp[at] = m->mthp[at - 1];
		at--;
	}
	m->mthp[at].kib = kib;
	snprintf(path, sizeof(path), THP "%s/enabled", name);
	word(path, m->mthp[at].enabled, sizeof(m->mthp[at].enabled));
	m->nr_mthp++;
}

static void read_sizes(struct ct_memconf *m)
{
	DIR *dir = opendir(THP);
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		add_size(m, e->d_name);
	closedir(dir);
}

static s64 meminfo(const char *text, const char *key)
{
	const char *value = ct_text_find_key(text, key);
	u64 v;

	return value && ct_parse_u64(&value, &v) ? (s64)v : -1;
}

static void read_meminfo(struct ct_memconf *m)
{
	struct ct_textbuf buf = { NULL };

	if (!ct_textbuf_read_path(&buf, "/proc/meminfo")) {
		m->swap_total_kib = meminfo(buf.text, "SwapTotal:");
		m->swap_free_kib = meminfo(buf.text, "SwapFree:");
		m->mem_total_kib = meminfo(buf.text, "MemTotal:");
	}
	ct_textbuf_fini(&buf);
}

void ct_memconf_read(struct ct_memconf *ret)
{
	struct ct_memconf m = { .swap_total_kib = -1, .swap_free_kib = -1, .mem_total_kib = -1 };

	word(THP "enabled", m.thp, sizeof(m.thp));
	word(THP "defrag", m.thp_defrag, sizeof(m.thp_defrag));
	read_sizes(&m);
	m.khugepaged_sleep_ms = number(THP "khugepaged/scan_sleep_millisecs");
	m.ksm_run = number(KSM "run");
	m.ksm_pages_sharing = number(KSM "pages_sharing");
	m.overcommit = number(VM "overcommit_memory");
	m.overcommit_ratio = number(VM "overcommit_ratio");
	m.swappiness = number(VM "swappiness");
	read_meminfo(&m);
	*ret = m;
}
