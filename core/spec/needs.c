/* Ids and needs of the stages, and the names that their expressions use. */
#include "buildspec.h"

#include "expr_tree.h"

#include <mrpipe/auto.h>
#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 1100 /* stages, and a few more */

struct resolver {
    struct mrp_reader *rd;
    struct mrp_spec *spec;
    struct mrp_stage_spec *stage;
    const struct mrp_yaml_node *for_each; /* of the stage; NULL while for-each itself is read */
    const struct mrp_yaml_node *node;     /* the scalar that is read */
};

static struct mrp_stage_spec *find_stage(struct mrp_pipeline *p, const char *id, size_t len)
{
    for (size_t i = 0; i < p->stage_count; i++)
        if (p->stages[i].id && strlen(p->stages[i].id) == len && !memcmp(p->stages[i].id, id, len))
            return &p->stages[i];
    return NULL;
}

static void add_need(struct resolver *r, const char *id)
{
    if (!mrp_strv_has(r->stage->needs, id) && mrp_strv_add(&r->stage->needs, id))
        r->rd->nomem = true;
}

/* "did you mean `X`?" among the stages' ids (and `build`). Owned or NULL. */
static char *nearest_stage(struct resolver *r, const char *id)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    names[count++] = "build";
    struct mrp_pipeline *p = &r->spec->pipeline;
    for (size_t i = 0; i < p->stage_count; i++)
        if (p->stages[i].id && &p->stages[i] != r->stage)
            names[count++] = p->stages[i].id;
    return mrp_did_you_mean(id, names, count);
}

/* ---- ids ---- */

static void give_id(struct mrp_reader *rd, struct mrp_pipeline *p, struct mrp_stage_spec *s)
{
    const char *base = s->action ? s->action : "stage";
    char *id = mrp_strdup(!strcmp(base, "build") ? "build-1" : base);
    for (int n = 2; id && find_stage(p, id, strlen(id)); n++) {
        free(id);
        id = mrp_strf("%s-%d", base, n);
    }
    s->id = id;
    if (!id)
        rd->nomem = true;
}

static void
give_ids(struct mrp_reader *rd, struct mrp_pipeline *p, const struct mrp_yaml_node *list)
{
    for (size_t i = 0; i < p->stage_count; i++) {
        struct mrp_stage_spec *s = &p->stages[i];
        const struct mrp_stage_spec *first = s->id ? find_stage(p, s->id, strlen(s->id)) : NULL;
        if (first && first != s)
            mrp_problem(rd, false, mrp_yaml_get(list->items[i], "id"), NULL,
                        "duplicate stage `%.100s`; the first one is on line %d", s->id,
                        first->mark.line);
    }
    for (size_t i = 0; i < p->stage_count; i++)
        if (!p->stages[i].id)
            give_id(rd, p, &p->stages[i]);
}

/* ---- names in expressions ---- */

static void name_problem(struct resolver *r,
                         size_t offset,
                         const char *name,
                         const char *hint,
                         const char *what)
{
    mrp_problem_at(r->rd, false, mrp_yaml_place(r->node, r->rd->src, offset), (int)strlen(name),
                   hint, "%s `%.100s`", what, name);
}

static void use_stage(struct resolver *r, const char *name, size_t offset)
{
    const char *id = name + strlen("stages.");
    size_t len = strcspn(id, ".");
    const struct mrp_stage_spec *found = find_stage(&r->spec->pipeline, id, len);
    mrp_auto(mrp_free_str) char *copy = mrp_strndup(id, len);
    if (!copy) {
        r->rd->nomem = true;
    } else if (!found) {
        mrp_auto(mrp_free_str) char *hint = nearest_stage(r, copy);
        struct mrp_mark at = mrp_yaml_place(r->node, r->rd->src, offset + strlen("stages."));
        mrp_problem_at(r->rd, false, at, (int)len, hint, "unknown stage `%.100s`", copy);
    } else if (found == r->stage) {
        name_problem(r, offset, name, NULL, "a stage cannot use its own");
    } else {
        add_need(r, copy);
    }
}

static void use_member(struct resolver *r,
                       const char *name,
                       size_t offset,
                       const char *const *known,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, known[i]))
            return;
    mrp_auto(mrp_free_str) char *hint = mrp_did_you_mean(name, known, count);
    name_problem(r, offset, name, hint, "unknown name");
}

static void use_other(struct resolver *r, const char *name, size_t offset)
{
    const char *names[80] = {"env", "regions", "region", "run", "stages"};
    size_t count = 5;
    for (size_t i = 0; mrp_yaml_is(r->for_each, MRP_YAML_MAP) && i < r->for_each->count; i++) {
        if (!strcmp(r->for_each->items[2 * i]->text, name))
            return;
        if (count < MRP_COUNT(names))
            names[count++] = r->for_each->items[2 * i]->text;
    }
    mrp_auto(mrp_free_str) char *hint = mrp_did_you_mean(name, names, count);
    if (!hint && mrp_is_variable(name))
        hint = mrp_strf("did you mean `env.%.60s`? text needs quotes", name);
    name_problem(r, offset, name, hint, "unknown name");
}

static int on_use(void *arg, const char *name, const struct mrp_expr *e, struct mrp_error *err)
{
    static const char *const regions[] = {"regions.primary", "regions.secondary", "regions.all"};
    static const char *const run[] = {"run.id", "run.source-version"};
    struct resolver *r = arg;
    size_t offset = e->offset;
    (void)err;
    if (mrp_starts(name, "stages.")) {
        use_stage(r, name, offset);
    } else if (mrp_starts(name, "regions.")) {
        use_member(r, name, offset, regions, MRP_COUNT(regions));
    } else if (mrp_starts(name, "run.")) {
        use_member(r, name, offset, run, MRP_COUNT(run));
    } else if (!strcmp(name, "imagedefinitions()") || !strcmp(name, "file()")) {
        /* The phases write these files. */
        if (r->spec->has_phases)
            add_need(r, "build");
    } else if (!mrp_starts(name, "env.") && strcmp(name, "region") != 0 && !mrp_ends(name, "()")) {
        use_other(r, name, offset);
    }
    return 0;
}

static void read_text(struct resolver *r, const struct mrp_yaml_node *node, bool condition)
{
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    struct mrp_error err = {0};
    r->node = node;
    const char *text = mrp_yaml_text(node);
    if (!text)
        return;
    int rc = condition ? mrp_expr_condition_uses(text, on_use, r, &err)
                       : mrp_expr_uses(text, on_use, r, &err);
    size_t offset = err.upstream > 0 ? (size_t)err.upstream - 1 : 0;
    if (rc == MRP_E_NOMEM)
        r->rd->nomem = true;
    else if (rc)
        mrp_problem_at(r->rd, false, mrp_yaml_place(node, r->rd->src, offset),
                       (int)strspn(text + offset, word), *err.hint ? err.hint : NULL, "%s",
                       err.msg);
}

static void read_tree(struct resolver *r, const struct mrp_yaml_node *node)
{
    if (!node)
        return;
    if (node->kind == MRP_YAML_SCALAR) {
        read_text(r, node, false);
        return;
    }
    bool map = node->kind == MRP_YAML_MAP;
    for (size_t i = 0; i < node->count; i++)
        read_tree(r, node->items[map ? 2 * i + 1 : i]);
}

/* ---- needs ---- */

static void written_need(struct resolver *r, const struct mrp_yaml_node *item)
{
    const char *id = mrp_yaml_text(item);
    if (!id)
        return;
    const struct mrp_stage_spec *found = find_stage(&r->spec->pipeline, id, strlen(id));
    if (found == r->stage) {
        mrp_problem(r->rd, false, item, NULL, "stage `%.100s` cannot need itself", id);
    } else if (found || !strcmp(id, "build")) {
        add_need(r, id);
    } else {
        mrp_auto(mrp_free_str) char *hint = nearest_stage(r, id);
        mrp_problem(r->rd, false, item, hint, "unknown stage `%.100s`", id);
    }
}

/* `needs: []` is an answer, an absent `needs` is not: a list that is there counts. */
static void read_needs(struct resolver *r, size_t index, const struct mrp_yaml_node *stage)
{
    const struct mrp_yaml_node *needs = mrp_yaml_get(stage, "needs");
    r->stage->needs = calloc(1, sizeof(char *));
    if (!r->stage->needs)
        r->rd->nomem = true;
    r->stage->needs_given = needs != NULL;
    if (mrp_yaml_is(needs, MRP_YAML_LIST)) {
        for (size_t i = 0; i < needs->count; i++)
            written_need(r, needs->items[i]);
    } else if (needs) {
        written_need(r, needs);
    } else if (index) {
        add_need(r, r->spec->pipeline.stages[index - 1].id);
    } else if (r->spec->has_phases) {
        add_need(r, "build");
    }
}

/* ---- cycles ---- */

enum color { FRESH, OPEN, DONE };

/* Depth first; true when a cycle was found: *trail then lists it. */
static bool walk(struct mrp_pipeline *p, size_t index, unsigned char *colors, struct mrp_buf *trail)
{
    colors[index] = OPEN;
    for (char **need = p->stages[index].needs; need && *need; need++) {
        struct mrp_stage_spec *next = find_stage(p, *need, strlen(*need));
        if (!next)
            continue;
        size_t at = (size_t)(next - p->stages);
        if (colors[at] == DONE)
            continue;
        if (colors[at] == OPEN || walk(p, at, colors, trail)) {
            if (colors[at] == OPEN && !trail->len)
                mrp_buf_adds(trail, next->id);
            if (trail->len < 300)
                mrp_buf_addf(trail, " needed by %s", p->stages[index].id);
            return true;
        }
    }
    colors[index] = DONE;
    return false;
}

static void check_cycles(struct mrp_reader *rd, struct mrp_pipeline *p)
{
    unsigned char *colors = calloc(p->stage_count + 1, 1);
    if (!colors) {
        rd->nomem = true;
        return;
    }
    mrp_auto(mrp_buf_done) struct mrp_buf trail = MRP_BUF_INIT(4096);
    for (size_t i = 0; i < p->stage_count; i++)
        if (colors[i] == FRESH && walk(p, i, colors, &trail)) {
            mrp_problem_at(rd, false, p->stages[i].mark, 1, "give one of them other `needs`",
                           "stages wait for each other: %s", mrp_buf_str(&trail));
            break;
        }
    free(colors);
}

void mrp_needs_resolve(struct mrp_reader *rd,
                       struct mrp_spec *spec,
                       const struct mrp_yaml_node *section)
{
    struct mrp_pipeline *p = &spec->pipeline;
    const struct mrp_yaml_node *list = mrp_yaml_get(section, "stages");
    const struct mrp_yaml_node *defaults = mrp_yaml_get(section, "defaults");
    size_t before = rd->diags->errors;
    give_ids(rd, p, list);
    for (size_t i = 0; i < p->stage_count; i++) {
        const struct mrp_yaml_node *stage = list->items[i];
        struct resolver r = {.rd = rd, .spec = spec, .stage = &p->stages[i]};
        read_needs(&r, i, stage);
        read_tree(&r, mrp_yaml_get(stage, "for-each"));
        r.for_each = mrp_yaml_get(stage, "for-each");
        read_tree(&r, mrp_yaml_get(stage, "with"));
        static const char *const keys[] = {"region", "role-arn", "env"};
        for (size_t k = 0; k < MRP_COUNT(keys); k++) {
            const struct mrp_yaml_node *own = mrp_yaml_get(stage, keys[k]);
            read_tree(&r, own ? own : mrp_yaml_get(defaults, keys[k]));
        }
        read_text(&r, mrp_yaml_get(stage, "if"), true);
    }
    if (rd->diags->errors == before)
        check_cycles(rd, p);
}
