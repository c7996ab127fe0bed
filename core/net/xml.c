/* XML answers as JSON values, on expat. */
#include <mrpipe/xml.h>

#include <mrpipe/buf.h>
#include <mrpipe/text.h>

#include <expat.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_BYTES ((size_t)64 << 20)

struct node {
    char *name;
    json_t *members;  /* an object once there is a child */
    json_t *repeated; /* names of members that came more than once */
    struct mrp_buf text;
};

struct reader {
    XML_Parser parser;
    struct node stack[MAX_DEPTH + 1]; /* [0] holds the root element */
    int depth;
    const char *failure; /* static; NULL: none */
};

static void give_up(struct reader *r, const char *why)
{
    r->failure = why;
    XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = arg;
    (void)attributes;
    if (r->depth == MAX_DEPTH) {
        give_up(r, "too deep");
        return;
    }
    const char *colon = strchr(name, ':');
    struct node *node = &r->stack[++r->depth];
    *node = (struct node){.name = mrp_strdup(colon ? colon + 1 : name),
                          .text = MRP_BUF_INIT(MAX_BYTES)};
    if (!node->name)
        give_up(r, "no memory");
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int n)
{
    struct reader *r = arg;
    struct node *node = &r->stack[r->depth];
    if (r->depth > 0 && mrp_buf_add(&node->text, text, (size_t)n) != 0)
        give_up(r, "no memory");
}

static void XMLCALL on_doctype(void *arg,
                               const XML_Char *name,
                               const XML_Char *system,
                               const XML_Char *public_id,
                               int internal)
{
    (void)name, (void)system, (void)public_id, (void)internal;
    give_up(arg, "it has a document type");
}

/* A child's value into its parent: the second of a name makes an array. Takes over `value`. */
static int add_member(struct node *parent, const char *name, json_t *value)
{
    if (!value)
        return -1;
    if (!parent->members)
        parent->members = json_object();
    json_t *old = json_object_get(parent->members, name);
    if (!old)
        return json_object_set_new(parent->members, name, value);
    if (parent->repeated && json_object_get(parent->repeated, name))
        return json_array_append_new(old, value);
    if (!parent->repeated)
        parent->repeated = json_object();
    json_t *both = json_array();
    if (!both || json_array_append(both, old) != 0 || json_array_append_new(both, value) != 0) {
        json_decref(both);
        return -1;
    }
    return json_object_set_new(parent->repeated, name, json_true()) != 0 ||
                   json_object_set_new(parent->members, name, both) != 0
               ? -1
               : 0;
}

/* What an element is worth: a list, an object, or its text. A new reference. */
static json_t *value_of(const struct node *node)
{
    if (!node->members)
        return json_stringn(mrp_buf_str(&node->text), node->text.len);
    static const char *const elements[] = {"member", "item"};
    for (size_t i = 0; i < MRP_COUNT(elements); i++) {
        json_t *list = json_object_get(node->members, elements[i]);
        if (!list || json_object_size(node->members) != 1)
            continue;
        if (node->repeated)
            return json_incref(list);
        return json_pack("[O]", list);
    }
    return json_incref(node->members);
}

static void node_done(struct node *node)
{
    free(node->name);
    json_decref(node->members);
    json_decref(node->repeated);
    mrp_buf_done(&node->text);
    *node = (struct node){0};
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
    struct reader *r = arg;
    (void)name;
    struct node *node = &r->stack[r->depth];
    int rc = add_member(&r->stack[r->depth - 1], node->name, value_of(node));
    node_done(node);
    r->depth--;
    if (rc != 0)
        give_up(r, "it holds text that is not UTF-8");
}

static int fail(const struct reader *r, const char *what, struct mrp_error *err)
{
    enum XML_Error code = XML_GetErrorCode(r->parser);
    return mrp_fail(err, MRP_E_REMOTE, "%s: the XML answer is bad at line %lu: %s", what,
                    (unsigned long)XML_GetCurrentLineNumber(r->parser),
                    r->failure ? r->failure : XML_ErrorString(code));
}

int mrp_xml_parse(json_t **out,
                  const char *text,
                  size_t len,
                  const char *what,
                  struct mrp_error *err)
{
    if (len > MAX_BYTES)
        return mrp_fail(err, MRP_E_REMOTE, "%s: the XML answer is longer than 64 MiB", what);
    struct reader *r = calloc(1, sizeof *r);
    if (r)
        r->parser = XML_ParserCreate(NULL);
    if (!r || !r->parser) {
        free(r);
        return mrp_fail(err, MRP_E_NOMEM, "%s", what);
    }
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    int rc = 0;
    if (XML_Parse(r->parser, text, (int)len, 1) != XML_STATUS_OK || r->failure)
        rc = fail(r, what, err);
    else
        *out = json_incref(r->stack[0].members);
    for (; r->depth >= 0; r->depth--)
        node_done(&r->stack[r->depth]);
    XML_ParserFree(r->parser);
    free(r);
    return rc;
}
