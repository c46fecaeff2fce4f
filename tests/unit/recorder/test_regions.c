/* SPDX-License-Identifier: MIT */
/* Regions from made-up maps and tags: what each piece of memory is, and whose. */
#include "channel/segment.h"
#include "ctx_util.h"

static struct ct_rec_ctx *c;
static struct ct_tagmap *tags;
static struct ct_own_range own[4];
static u32 nr_own;
static struct ct_maps maps;

static int setup(void **state)
{
	c = ctx_open();
	tags = ct_tagmap_create();
	nr_own = 0;
	return 0;
}

static int teardown(void **state)
{
	ct_tagmap_unref(tags);
	ct_maps_fini(&maps);
	ctx_close(c);
	return 0;
}

static struct ct_regionset *regions_of(const char *text)
{
	struct ct_region_inputs in = {
		.maps = &maps,
		.tags = tags,
		.own = own,
		.nr_own = nr_own,
		.modules = c->modules,
		.sites = c->sites,
		.names = c->names,
		.t_ns = 1000,
	};
	struct ct_regionset *s;
	u32 i;

	ct_maps_fini(&maps);
	maps.text = strdup(text);
	maps.text_len = strlen(text);
	assert_int_equal(ct_maps_parse(&maps), 0);
	s = ct_regionset_create(&in);
	assert_non_null(s);
	for (i = 0; i < s->nr; i++) {
		assert_true(s->v[i].start < s->v[i].end);
		assert_int_equal(s->runs[i].page, s->v[i].start / CT_PAGE_SIZE);
		assert_int_equal(s->runs[i].pages, (s->v[i].end - s->v[i].start) / CT_PAGE_SIZE);
		if (i)
			assert_true(s->v[i - 1].end <= s->v[i].start);
	}
	return s;
}

static const struct ct_region *at(const struct ct_regionset *s, u64 addr)
{
	u32 i;

	for (i = 0; i < s->nr; i++)
		if (addr >= s->v[i].start && addr < s->v[i].end)
			return &s->v[i];
	return NULL;
}

static void set_tag(u64 start, u64 end, u32 site, u8 kind)
{
	const struct ct_tag t = {
		.start = start, .end = end, .t_ns = 7, .site = site, .kind = kind, .mapped = true
	};

	assert_int_equal(ct_tagmap_set(&tags, &t), 0);
}

static void test_kinds(void **state)
{
	struct ct_regionset *s = regions_of(
		"400000-401000 r-xp 00000000 08:01 11 /bin/x\n"
		"401000-403000 rw-p 00001000 08:01 11 /bin/x\n"
		"403000-405000 rw-p 00000000 00:00 0 \n" /* .bss, */
		"405000-407000 rw-p 00000000 00:00 0 \n" /* split by advice */
		"500000-600000 rw-p 00000000 00:00 0 [heap]\n"
		"10000000-10021000 rw-p 00000000 00:00 0 \n" /* an arena, and its reserve */
		"10021000-14000000 ---p 00000000 00:00 0 \n"
		"20001000-20021000 rw-p 00000000 00:00 0 \n" /* not aligned: none */
		"20021000-24000000 ---p 00000000 00:00 0 \n"
		"30000000-30010000 rw-p 00000000 00:00 0 [anon: glibc: malloc arena]\n"
		"31000000-31010000 rw-p 00000000 00:00 0 [anon:cache]\n"
		"40000000-40001000 rw-s 00000000 00:05 99 /dev/shm/s\n"
		"40001000-40002000 r--s 00000000 00:05 99 /dev/shm/s\n"
		"7ffc00000000-7ffc00002000 rw-p 00000000 00:00 0 \n" /* stack, split */
		"7ffc00002000-7ffc00004000 rw-p 00000000 00:00 0 [stack]\n"
		"7ffc00004000-7ffc00005000 rw-p 00000000 00:00 0 \n"
		"7fff00000000-7fff00004000 r--p 00000000 00:00 0 [vvar]\n"
		"7fff00004000-7fff00006000 r-xp 00000000 00:00 0 [vdso]\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n");

	assert_int_equal(at(s, 0x401000)->kind, CT_KIND_FILE_PRIVATE);
	assert_string_equal(ct_names_get(c->names, at(s, 0x401000)->name), "/bin/x");
	assert_int_equal(at(s, 0x403000)->kind, CT_KIND_BSS);
	assert_int_equal(at(s, 0x405000)->kind, CT_KIND_BSS);
	assert_int_equal(at(s, 0x500000)->kind, CT_KIND_HEAP);
	assert_string_equal(ct_names_get(c->names, at(s, 0x500000)->name), "");
	assert_int_equal(at(s, 0x10000000)->kind, CT_KIND_ARENA);
	assert_int_equal(at(s, 0x20001000)->kind, CT_KIND_ANON);
	assert_int_equal(at(s, 0x30000000)->kind, CT_KIND_ARENA);
	assert_int_equal(at(s, 0x31000000)->kind, CT_KIND_ANON);
	assert_string_equal(ct_names_get(c->names, at(s, 0x31000000)->name), "[anon:cache]");
	assert_int_equal(at(s, 0x40000000)->kind, CT_KIND_SHARED);
	assert_null(at(s, 0x40001000));
	assert_int_equal(at(s, 0x7ffc00000000)->kind, CT_KIND_STACK);
	assert_int_equal(at(s, 0x7ffc00002000)->kind, CT_KIND_STACK);
	assert_int_equal(at(s, 0x7ffc00004000)->kind, CT_KIND_STACK);
	assert_null(at(s, 0x7fff00000000));
	assert_null(at(s, 0x7fff00004000));
	assert_null(at(s, 0xffffffffff600000));
	assert_false(at(s, 0x500000)->tagged);
	ct_regionset_unref(ct_regionset_ref(s));
	ct_regionset_unref(s);
	ct_regionset_unref(NULL);
}

/* One VMA, three mappings: a tag says who made which part. */
static void test_tags_split(void **state)
{
	struct ct_regionset *s;

	set_tag(0x100000, 0x110000, 1, CT_KIND_ANON);
	set_tag(0x120000, 0x130000, 2, CT_KIND_STACK);
	set_tag(0x1f0000, 0x210000, 3, CT_KIND_ANON); /* reaches out of it */
	s = regions_of("100000-200000 rw-p 00000000 00:00 0 \n"
		       "200000-201000 ---p 00000000 00:00 0 \n");
	assert_int_equal(at(s, 0x100000)->site, 1);
	assert_true(at(s, 0x100000)->tagged);
	assert_int_equal(at(s, 0x100000)->t_ns, 7);
	assert_int_equal(at(s, 0x10ffff)->end, 0x110000);
	assert_false(at(s, 0x110000)->tagged);
	assert_int_equal(at(s, 0x110000)->t_ns, 1000);
	assert_int_equal(at(s, 0x120000)->kind, CT_KIND_STACK);
	assert_false(at(s, 0x130000)->tagged);
	assert_int_equal(at(s, 0x1f0000)->site, 3);
	/* Nothing beyond what the process has. */
	assert_null(at(s, 0x201000));
	ct_regionset_unref(s);
}

/* The kernel splits what differs in nothing that a user sees. */
static void test_neighbours_join(void **state)
{
	struct ct_regionset *s;

	set_tag(0x100000, 0x110000, 1, CT_KIND_ANON);
	s = regions_of("100000-108000 rw-p 00000000 00:00 0 \n"
		       "108000-10c000 r--p 00000000 00:00 0 \n"
		       "10c000-110000 rw-p 00000000 00:00 0 \n");
	assert_int_equal(s->nr, 1);
	assert_int_equal(s->v[0].end, 0x110000);
	ct_regionset_unref(s);
}

static void test_own_memory(void **state)
{
	struct ct_regionset *s;

	own[nr_own++] = (struct ct_own_range){ 0x104000, 0x106000 };
	own[nr_own++] = (struct ct_own_range){ 0x100000, 0x101000 };
	own[nr_own++] = (struct ct_own_range){ 0x10f000, 0x180000 };
	own[nr_own++] = (struct ct_own_range){ 0x105000, 0x107000 };
	s = regions_of("100000-110000 rw-p 00000000 00:00 0 \n"
		       "110000-120000 rw-p 00000000 08:01 5 /lib/ours.so\n");
	assert_null(at(s, 0x100000));
	assert_int_equal(at(s, 0x101000)->end, 0x104000);
	assert_null(at(s, 0x104000));
	assert_null(at(s, 0x106000));
	assert_int_equal(at(s, 0x107000)->end, 0x10f000);
	assert_null(at(s, 0x110000));
	assert_int_equal(s->nr, 2);
	ct_regionset_unref(s);
}

/* What an allocator's library has mapped is an arena of its. */
static void test_allocator(void **state)
{
	struct ct_maps code = { .text = strdup(
					"10000-20000 r-xp 0 00:01 7 /usr/lib/libjemalloc.so.2\n"
					"30000-40000 r-xp 0 00:01 8 /usr/lib/libfoo.so\n") };
	struct ct_modmap *mm;
	struct ct_regionset *s;
	u64 pc[2] = { 0x10010, 0x30010 };

	code.text_len = strlen(code.text);
	assert_int_equal(ct_maps_parse(&code), 0);
	mm = ct_modmap_create(c->modules, 1, &code);
	set_tag(0x100000, 0x110000, ct_sites_id(c->sites, mm, &pc[0], 2), CT_KIND_ANON);
	set_tag(0x200000, 0x210000, ct_sites_id(c->sites, mm, &pc[1], 1), CT_KIND_ANON);
	s = regions_of("100000-110000 rw-p 00000000 00:00 0 \n"
		       "200000-210000 rw-p 00000000 00:00 0 \n");
	assert_int_equal(at(s, 0x100000)->kind, CT_KIND_ARENA);
	assert_int_equal(at(s, 0x200000)->kind, CT_KIND_ANON);
	ct_regionset_unref(s);
	ct_modmap_unref(mm);
	ct_maps_fini(&code);
}

/* Advice on every other page: as many VMAs as a process may have, one behind the other. */
static void test_many(void **state)
{
	const u32 nr = 65000;
	char *text = malloc(nr * 64 + 64), *p = text;
	u64 start = ct_now_ns();
	struct ct_regionset *s;
	u32 i;

	p += sprintf(p, "10000000-10001000 rw-p 00000000 08:01 5 /lib/x.so\n");
	for (i = 1; i < nr; i++)
		p += sprintf(p, "%x-%x rw-p 00000000 00:00 0 \n", 0x10000000 + i * 0x1000,
			     0x10001000 + i * 0x1000);
	s = regions_of(text);
	assert_int_equal(s->nr, 2);
	assert_int_equal(s->v[1].kind, CT_KIND_BSS);
	assert_true(ct_now_ns() - start < CT_NSEC_PER_SEC / 2);
	ct_regionset_unref(s);
	free(text);
}

static int cleanup(void **state)
{
	remove_trace();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kinds),      TEST(test_tags_split), TEST(test_neighbours_join),
		TEST(test_own_memory), TEST(test_allocator),  TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, cleanup);
}
