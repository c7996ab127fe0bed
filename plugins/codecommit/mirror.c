/* One run: from the options to pairs of repositories, all pairs at once, and the sum of it. */
#include "mirror.h"
#include "libgit.h"

#include <mrpipe/auto.h>
#include <mrpipe/file.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static void mirror_done(struct mrp_mirror *m)
{
    for (size_t i = 0; i < m->count; i++)
        mrp_pair_done(&m->pairs[i]);
    free(m->pairs);
    mrp_git2_stop(&m->session);
    mrp_free_strv(&m->session.plain_servers);
    mrp_aws_free(&m->session.aws);
    mrp_http_free(&m->session.http);
}

static int session_start(struct mrp_mirror *m, struct mrp_stage *stage, struct mrp_error *err)
{
    const struct mrp_mirror_options *o = m->options;
    struct mrp_session *s = &m->session;
    s->stage = stage;
    s->thin = o->thin;
    s->libgit2 = o->transport == 1;
    s->ssh_key = o->ssh_key;
    s->stall_ms = o->stall_ms;
    int rc = mrp_http_new(&s->http, stage, err);
    if (!rc)
        rc = mrp_aws_new(&s->aws, s->http, stage, err);
    if (rc)
        return rc;
    m->policy = (struct mrp_policy){
        .refs = o->refs, .exclude = o->exclude, .force = o->force, .prune = o->prune};
    return mrp_policy_prune_limit(&m->policy, o->prune_limit ? o->prune_limit : "all", err);
}

/* A URL or path with the name in place of its star. */
static char *with_name(const char *text, const char *name)
{
    const char *star = strchr(text, '*');
    return star ? mrp_strf("%.*s%s%s", (int)(star - text), text, name ? name : "", star + 1)
                : mrp_strdup(text);
}

/* "https://host/team/core.git" -> "core" */
static char *name_of(const char *text)
{
    size_t n = strlen(text);
    while (n && text[n - 1] == '/')
        n--;
    size_t from = n;
    while (from && !strchr("/:@", text[from - 1]))
        from--;
    char *name = mrp_strndup(text + from, n - from);
    static const char *const tails[] = {".git", ".bundle"};
    for (size_t i = 0; name && i < MRP_COUNT(tails); i++)
        if (mrp_ends(name, tails[i]))
            name[strlen(name) - strlen(tails[i])] = '\0';
    return name;
}

static bool is_region(const char *text)
{
    return text && mrp_aws_is_region(text);
}

static int
add_lane(struct mrp_pair *pair, const char *text, const char *region, struct mrp_error *err)
{
    const struct mrp_mirror_options *o = pair->mirror->options;
    struct mrp_end_login login = {o->to_username, o->to_password, o->to_token};
    struct mrp_lane *lanes = realloc(pair->lanes, (pair->lane_count + 1) * sizeof *lanes);
    if (!lanes)
        return mrp_fail(err, MRP_E_NOMEM, "list the destinations of %s", pair->name);
    pair->lanes = lanes;
    lanes[pair->lane_count] = (struct mrp_lane){0};
    int rc = mrp_end_new(&lanes[pair->lane_count].end, &pair->mirror->session, text, region, &login,
                         err);
    if (!rc)
        pair->lane_count++;
    return rc;
}

/* A destination of CodeCommit in every region that is wished for. */
static int
add_regions(struct mrp_pair *pair, const char *name, char *const *regions, struct mrp_error *err)
{
    int rc = MRP_OK;
    for (char *const *r = regions; r && *r && !rc; r++)
        rc = add_lane(pair, name, *r, err);
    return rc;
}

static char *const *regions_of(const struct mrp_pair *pair)
{
    const struct mrp_mirror_options *o = pair->mirror->options;
    return o->to_regions ? o->to_regions : mrp_stage_secondaries(pair->mirror->session.stage);
}

static int add_destinations(struct mrp_pair *pair, struct mrp_error *err)
{
    const struct mrp_mirror_options *o = pair->mirror->options;
    int rc = MRP_OK;
    bool named = false;
    for (char **t = o->to; t && *t && !rc; t++) {
        mrp_auto(mrp_free_str) char *text = with_name(*t, pair->name);
        if (!text)
            return mrp_fail(err, MRP_E_NOMEM, "name a destination");
        if (is_region(text)) {
            rc = add_lane(pair, pair->name, text, err);
        } else if (mrp_is_repository_name(text)) {
            rc = add_regions(pair, text, regions_of(pair), err);
            named = true;
        } else {
            rc = add_lane(pair, text, NULL, err);
        }
    }
    if (!rc && !named && (!o->to || o->to_regions))
        rc = add_regions(pair, pair->name, regions_of(pair), err);
    if (rc || pair->lane_count)
        return rc;
    mrp_fail(err, MRP_E_CONFIG, "no destination for %s", pair->name);
    return mrp_hint(err, "set to, to-regions, or regions.secondary");
}

static bool same_end(const struct mrp_end *a, const struct mrp_end *b)
{
    const char *p = a->url ? a->url : a->path, *q = b->url ? b->url : b->path;
    return mrp_streq(p, q);
}

static int
add_pair(struct mrp_mirror *m, const char *name, const char *region, struct mrp_error *err)
{
    const struct mrp_mirror_options *o = m->options;
    struct mrp_pair *pair = &m->pairs[m->count++];
    pair->mirror = m;
    const char *from = o->from && !is_region(o->from) ? o->from : name;
    mrp_auto(mrp_free_str) char *text = from ? with_name(from, name) : NULL;
    if (!text)
        return mrp_fail(err, MRP_E_NOMEM, "name the source");
    pair->name = name ? mrp_strdup(name) : name_of(text);
    if (!pair->name)
        return mrp_fail(err, MRP_E_NOMEM, "name the source");
    struct mrp_end_login login = {o->from_username, o->from_password, o->from_token};
    int rc = mrp_end_new(&pair->source, &m->session, text, region, &login, err);
    if (!rc && pair->source->name && !name) {
        mrp_free_str(&pair->name);
        pair->name = mrp_strdup(pair->source->name);
    }
    if (!rc && !pair->source->ops->pull)
        rc = mrp_fail(err, MRP_E_CONFIG, "%s cannot be a source", pair->source->text);
    if (!rc)
        rc = add_destinations(pair, err);
    for (size_t i = 0; i < pair->lane_count && !rc; i++)
        if (same_end(pair->source, pair->lanes[i].end))
            rc = mrp_fail(err, MRP_E_CONFIG, "%s is the source and a destination",
                          pair->source->text);
    return rc;
}

/* Where CodeCommit's source repositories are. */
static char *source_region(const struct mrp_mirror *m)
{
    const struct mrp_mirror_options *o = m->options;
    const struct mrp_stage *stage = m->session.stage;
    if (o->from_region)
        return mrp_strdup(o->from_region);
    if (is_region(o->from))
        return mrp_strdup(o->from);
    if (mrp_stage_primary(stage)[0])
        return mrp_strdup(mrp_stage_primary(stage));
    return mrp_strdup(mrp_stage_region(stage));
}

static int make_pairs(struct mrp_mirror *m, struct mrp_error *err)
{
    const struct mrp_mirror_options *o = m->options;
    mrp_auto(mrp_free_strv) char **names = NULL;
    mrp_auto(mrp_free_str) char *region = source_region(m);
    int rc = mrp_repositories_find(&names, &region, &m->session, o, err);
    if (rc)
        return rc;
    size_t count = mrp_strv_len(names);
    bool url = o->from && !is_region(o->from);
    if (count > 1 && url && !strchr(o->from, '*') && !o->event) {
        mrp_fail(err, MRP_E_CONFIG, "from names one repository, repositories %zu", count);
        return mrp_hint(err, "put * where the name belongs: https://host/team/*.git");
    }
    if (!count && url && !o->event)
        count = 1;
    m->pairs = calloc(count ? count : 1, sizeof *m->pairs);
    if (!m->pairs)
        return mrp_fail(err, MRP_E_NOMEM, "list %zu repositories", count);
    for (size_t i = 0; i < count && !rc; i++)
        rc = add_pair(m, names ? names[i] : NULL, region, err);
    return rc;
}

static int run_pairs(struct mrp_mirror *m, struct mrp_error *err)
{
    unsigned jobs = (unsigned)m->options->jobs;
    size_t widest = 1;
    for (size_t i = 0; i < m->count; i++)
        widest = m->pairs[i].lane_count > widest ? m->pairs[i].lane_count : widest;
    /* A pair that waits for a connection while it holds another one would wait for ever. */
    unsigned need = jobs * (unsigned)(widest + 1);
    mrp_http_limit_connections(m->session.http, need < 8 ? 8 : need, need < 16 ? 16 : need);
    m->session.pairs = m->count;
    struct mrp_group *group = NULL;
    int rc = mrp_group_new(&group, m->session.http, jobs, err);
    for (size_t i = 0; i < m->count && !rc; i++)
        rc = mrp_group_spawn(group, mrp_pair_run, &m->pairs[i], err);
    return mrp_group_finish(&group, rc, err);
}

/* The first failure in words, with how many there were. */
static void
note_failure(struct mrp_error *first, size_t *count, const struct mrp_error *err, const char *what)
{
    if ((*count)++)
        return;
    *first = *err;
    if (!strstr(first->msg, what))
        mrp_wrap(first, "%s", what);
}

static void refusal_error(struct mrp_error *err, const struct mrp_lane *lane)
{
    const struct mrp_refusal *r = &lane->refused[0];
    mrp_auto(mrp_free_str) char *shown = mrp_show_name(r->name, strlen(r->name));
    mrp_fail(err, MRP_E_CONFLICT, "%s: %zu ref%s refused: %s: %s", lane->end->text,
             lane->refused_count, lane->refused_count == 1 ? "" : "s", shown ? shown : "",
             r->words);
}

static int sum_up(struct mrp_mirror *m, enum mrp_result *result, struct mrp_error *err)
{
    struct mrp_error first = {0};
    size_t failures = 0;
    mrp_auto(mrp_free_json) json_t *list = json_array();
    for (size_t i = 0; i < m->count; i++) {
        const struct mrp_pair *pair = &m->pairs[i];
        if (mrp_pair_tell(pair))
            *result = MRP_CHANGED;
        if (pair->failed)
            note_failure(&first, &failures, &pair->err, pair->name);
        for (size_t k = 0; k < pair->lane_count; k++) {
            const struct mrp_lane *lane = &pair->lanes[k];
            json_array_append_new(list, mrp_lane_json(pair, lane));
            struct mrp_error why = lane->err;
            if (!lane->failed && lane->refused_count)
                refusal_error(&why, lane);
            bool told = pair->failed && strcmp(why.msg, pair->err.msg) == 0;
            if (!told && (lane->failed || lane->refused_count))
                note_failure(&first, &failures, &why, lane->end->text);
        }
    }
    int rc = MRP_OK;
    if (m->mode == MRP_MODE_RUN)
        rc = mrp_output(m->session.stage, "repositories", mrp_take_json(&list), err);
    if (rc || !failures)
        return rc;
    *err = first;
    return failures > 1 ? (int)mrp_wrap(err, "%zu mirrors failed, first", failures)
                        : (int)err->code;
}

int mrp_mirror_do(const struct mrp_mirror_options *options,
                  struct mrp_stage *stage,
                  enum mrp_mirror_mode mode,
                  enum mrp_result *result,
                  struct mrp_error *err)
{
    mrp_auto(mirror_done) struct mrp_mirror m = {.options = options, .mode = mode};
    *result = MRP_UNCHANGED;
    int rc = session_start(&m, stage, err);
    if (!rc)
        rc = make_pairs(&m, err);
    if (!rc)
        rc = run_pairs(&m, err);
    return rc ? rc : sum_up(&m, result, err);
}
