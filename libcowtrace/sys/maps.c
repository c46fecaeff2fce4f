/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/maps, read in large pieces and parsed by hand: the recorder does this
 * while a child waits at its birth, so there is no stdio and no allocation after
 * the first reading.  330 VMAs: 105 us, 90 of them the kernel's.
 *
 * Invariant: after a successful parse vmas[] is ascending and disjoint, and every
 * name points into names.
 */
#include "sys/maps.h"

#include <errno.h>
#include <string.h>

#include "sys/procfile.h"

int ct_maps_read(pid_t pid, struct ct_maps *m)
{
	struct ct_textbuf buf = { .text = m->text, .cap = m->text_cap };
	ct_auto_fd int fd = -1;
	int r;

	m->nr = 0;
	m->text_len = 0;
	r = ct_proc_open(pid, "maps", &fd);
	/*
	 * ENOENT, a process that is gone, comes as -ESRCH too; one that is there without
	 * memory (a zombie) opens and reads nothing, or is -ESRCH from 6.16 on.
	 */
	if (r < 0)
		return r;
	r = ct_textbuf_read_fd(&buf, fd);
	m->text = buf.text;
	m->text_cap = buf.cap;
	m->text_len = buf.len;
	return r;
}

/* A cursor over one line; fields fail softly: `bad` is looked at once, at the end. */
struct field {
	char *p;
	char *end;
	bool bad;
};

static u64 field_hex(struct field *f, char stop)
{
	u64 v = 0;
	char *first = f->p;

	for (; f->p < f->end; f->p++) {
		unsigned int c = (unsigned char)*f->p;
		unsigned int d = c - '0';

		if (d > 9) {
			d = (c | 0x20) - 'a' + 10;
			if (d < 10 || d > 15)
				break;
		}
		if (v >> 60)
			f->bad = true;
		v = v << 4 | d;
	}
	if (f->p == first || f->p == f->end || *f->p != stop)
		f->bad = true;
	else
		f->p++;
	return v;
}

static u64 field_dec(struct field *f)
{
	u64 v = 0;
	char *first = f->p;

	for (; f->p < f->end && *f->p >= '0' && *f->p <= '9'; f->p++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (u64)(*f->p - '0'), &v))
			f->bad = true;
	}
	if (f->p == first || (f->p < f->end && *f->p != ' '))
		f->bad = true;
	return v;
}

static bool field_flag(struct field *f, char yes, char no)
{
	char c = f->p < f->end ? *f->p++ : '\0';

	if (c != yes && c != no)
		f->bad = true;
	return c == yes;
}

static bool parse_line(char *line, char *end, struct ct_vma *v)
{
	struct field f = { .p = line, .end = end };

	v->start = field_hex(&f, '-');
	v->end = field_hex(&f, ' ');
	v->r = field_flag(&f, 'r', '-');
	v->w = field_flag(&f, 'w', '-');
	v->x = field_flag(&f, 'x', '-');
	v->shared = field_flag(&f, 's', 'p');
	field_flag(&f, ' ', ' ');
	v->offset = field_hex(&f, ' ');
	v->dev_major = (u32)field_hex(&f, ':');
	v->dev_minor = (u32)field_hex(&f, ' ');
	v->ino = field_dec(&f);
	while (f.p < end && *f.p == ' ')
		f.p++;
	v->name = f.p;
	*end = '\0';
	return !f.bad && v->start < v->end && !((v->start | v->end) & (CT_PAGE_SIZE - 1));
}

static int vmas_room(struct ct_maps *m)
{
	size_t cap = m->cap ? m->cap * 2 : 256;
	struct ct_vma *vmas;

	if (m->nr < m->cap)
		return 0;
	vmas = reallocarray(m->vmas, cap, sizeof(*vmas));
	if (!vmas)
		return -ENOMEM;
	m->vmas = vmas;
	m->cap = cap;
	return 0;
}

/*
 * Between two reads of the file a VMA may grow downwards over what was already
 * printed (a merge): what was not printed yet is kept.
 */
static bool clip_to_previous(const struct ct_maps *m, struct ct_vma *v)
{
	u64 prev_end = m->nr ? m->vmas[m->nr - 1].end : 0;

	if (v->start >= prev_end)
		return true;
	if (v->end <= prev_end)
		return false;
	if (v->ino)
		v->offset += prev_end - v->start;
	v->start = prev_end;
	return true;
}

static int names_copy(struct ct_maps *m)
{
	char *names;

	if (m->names_cap < m->text_len) {
		names = realloc(m->names, ct_max(m->text_cap, m->text_len));
		if (!names)
			return -ENOMEM;
		m->names = names;
		m->names_cap = ct_max(m->text_cap, m->text_len);
	}
	if (m->text_len)
		memcpy(m->names, m->text, m->text_len);
	return 0;
}

int ct_maps_parse(struct ct_maps *m)
{
	char *p, *end;
	int r;

	m->nr = 0;
	r = names_copy(m);
	if (r < 0)
		return r;
	p = m->names;
	end = p + m->text_len;
	while (p < end) {
		char *nl = memchr(p, '\n', (size_t)(end - p));

		r = vmas_room(m);
		if (r < 0)
			return r;
		if (!nl || !parse_line(p, nl, &m->vmas[m->nr]) ||
		    !clip_to_previous(m, &m->vmas[m->nr])) {
			m->nr = 0;
			return -EINVAL;
		}
		m->nr++;
		p = nl + 1;
	}
	return 0;
}

int ct_maps_load(pid_t pid, struct ct_maps *m)
{
	int r = ct_maps_read(pid, m);

	return r < 0 ? r : ct_maps_parse(m);
}

const struct ct_vma *ct_maps_find(const struct ct_maps *m, u64 addr)
{
	size_t lo = 0, hi = m->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->vmas[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->nr && m->vmas[lo].start <= addr ? &m->vmas[lo] : NULL;
}

void ct_maps_fini(struct ct_maps *m)
{
	free(m->text);
	free(m->names);
	free(m->vmas);
	*m = (struct ct_maps){ 0 };
}
