/* Calls of AWS services against a server that speaks their dialects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"
#include "server.h"

#include <mrpipe/auto.h>
#include <mrpipe/json.h>
#include <mrpipe/text.h>
#include <mrpipe/time.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct server *server;
static struct mrp_http *http;
static struct mrp_aws *aws;
static struct mrp_error err;
static atomic_uint count;
static char last_head[8192];
static char last_body[4096];

static void json_service(struct hit *hit, const char *operation)
{
    unsigned n = atomic_fetch_add(&count, 1);
    if (mrp_ends(operation, ".Echo")) {
        answer(hit, 200, "", hit->body);
    } else if (mrp_ends(operation, ".Empty")) {
        answer(hit, 200, "", "");
    } else if (mrp_ends(operation, ".Missing")) {
        answer(hit, 400, "",
               "{\"__type\":\"a.b#RepositoryNotFoundException\",\"message\":\"no core\"}");
    } else if (mrp_ends(operation, ".Exists")) {
        answer(hit, 400, "x-amzn-ErrorType: ImageAlreadyExistsException:http://x\r\n",
               "{\"Message\":\"there\"}");
    } else if (mrp_ends(operation, ".Denied")) {
        answer(hit, 400, "", "{\"__type\":\"AccessDeniedException\",\"Message\":\"not you\"}");
    } else if (mrp_ends(operation, ".Busy") && n < 2) {
        answer(hit, 400, "x-amz-retry-after: 5\r\n",
               "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}");
    } else if (mrp_ends(operation, ".Broken") && n < 1) {
        answer(hit, 500, "", "{\"__type\":\"ServerException\"}");
    } else if (mrp_ends(operation, ".Lost") && n < 1) {
        answer_reset(hit);
    } else if (mrp_ends(operation, ".Skewed") && n < 1) {
        answer(hit, 400, "Date: Sun, 06 Nov 2044 08:49:37 GMT\r\n",
               "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired: x\"}");
    } else if (mrp_ends(operation, ".List")) {
        if (strstr(hit->body, "\"two\""))
            answer(hit, 200, "", "{\"items\":[3]}");
        else
            answer(hit, 200, "", "{\"items\":[1,2],\"nextToken\":\"two\"}");
    } else if (mrp_ends(operation, ".Html")) {
        answer(hit, 403, "Content-Type: text/html\r\n",
               "<html><title>Proxy says no</title></html>");
    } else if (mrp_ends(operation, ".Bad")) {
        answer(hit, 200, "", "{nonsense");
    } else {
        answer(hit, 200, "", "{}");
    }
}

static void query_service(struct hit *hit)
{
    if (strstr(hit->body, "Action=GetCallerIdentity&"))
        answer(hit, 200, "",
               "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
               "<GetCallerIdentityResult><Account>111122223333</Account></GetCallerIdentityResult>"
               "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></"
               "GetCallerIdentityResponse>");
    else if (strstr(hit->body, "Action=DescribeStacks&"))
        answer(
            hit, 400, "",
            "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack "
            "with id &lt;x&gt; does not "
            "exist</Message></Error><RequestId>r</RequestId></ErrorResponse>");
    else if (strstr(hit->body, "Action=DescribeTargetGroups&"))
        answer(hit, 200, "",
               "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups><member>"
               "<Name>a</Name></member></TargetGroups></DescribeTargetGroupsResult>"
               "</DescribeTargetGroupsResponse>");
    else if (strstr(hit->body, "Action=DescribeVpcs&"))
        answer(hit, 200, "",
               "<DescribeVpcsResponse><requestId>r</requestId><vpcSet><item><vpcId>v</vpcId></item>"
               "<item><vpcId>w</vpcId></item></vpcSet></DescribeVpcsResponse>");
    else
        answer(hit, 200, "", "<DeleteStackResponse><ResponseMetadata/></DeleteStackResponse>");
}

static void handle(void *arg, struct hit *hit)
{
    (void)arg;
    snprintf(last_head, sizeof last_head, "%.8000s", hit->head);
    snprintf(last_body, sizeof last_body, "%.4000s", hit->body);
    char target[256];
    if (hit_header(hit, "X-Amz-Target", target, sizeof target))
        json_service(hit, target);
    else if (mrp_starts(hit->body, "Action="))
        query_service(hit);
    else
        answer(hit, 200, "", "{\"rest\":true}");
}

static int call(json_t **out, const char *service, const char *operation, const char *input)
{
    mrp_auto(mrp_free_json) json_t *j = input ? json_loads(input, 0, NULL) : NULL;
    err = (struct mrp_error){0};
    atomic_store(&count, 0);
    return mrp_aws_call(out, aws, service, "eu-west-1", operation, j, &err);
}

static char header[1024];
static const char *sent(const char *name)
{
    struct hit *hit = calloc(1, sizeof *hit);
    snprintf(hit->head, sizeof hit->head, "%s", last_head);
    const char *value = hit_header(hit, name, header, sizeof header);
    free(hit);
    return value;
}

static void json_calls(void **state)
{
    (void)state;
    mrp_auto(mrp_free_json) json_t *out = NULL;
    assert_int_equal(call(&out, "ecr", "Echo", "{\"repositoryName\":\"core\"}"), 0);
    assert_string_equal(mrp_json_str(out, "repositoryName"), "core");
    assert_string_equal(sent("X-Amz-Target"), "AmazonEC2ContainerRegistry_V20150921.Echo");
    assert_string_equal(sent("Content-Type"), "application/x-amz-json-1.1");
    assert_non_null(strstr(sent("Authorization"),
                           "/eu-west-1/ecr/aws4_request, SignedHeaders=content-type;host;"
                           "x-amz-date;x-amz-security-token;x-amz-target, Signature="));
    assert_string_equal(sent("X-Amz-Security-Token"), "the/token==");
    assert_true(mrp_starts(last_head, "POST / HTTP/1.1"));
    assert_int_equal(call(NULL, "dynamodb", "Echo", NULL), 0);
    assert_string_equal(sent("Content-Type"), "application/x-amz-json-1.0");
    assert_string_equal(last_body, "{}");
    mrp_auto(mrp_free_json) json_t *empty = NULL;
    assert_int_equal(call(&empty, "ecs", "Empty", NULL), 0);
    assert_int_equal(json_object_size(empty), 0);
    assert_int_equal(call(&empty, "nothing", "X", NULL), MRP_E_BUG);
    assert_int_equal(mrp_aws_call(NULL, aws, "ecs", "", "X", NULL, &err), MRP_E_CONFIG);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *service, *operation, *api, *msg;
        enum mrp_code code;
        int status;
    } cases[] = {
        {"ecr", "Missing", "RepositoryNotFoundException",
         "ecr Missing in eu-west-1: RepositoryNotFoundException: no core", MRP_E_NOTFOUND, 400},
        {"ecr", "Exists", "ImageAlreadyExistsException",
         "ecr Exists in eu-west-1: ImageAlreadyExistsException: there", MRP_E_CONFLICT, 400},
        {"ecs", "Denied", "AccessDeniedException",
         "ecs Denied in eu-west-1: AccessDeniedException: not you", MRP_E_AUTH, 400},
        {"ecs", "Html", "HTTP 403", "ecs Html in eu-west-1: HTTP 403: Proxy says no", MRP_E_AUTH,
         403},
        {"cloudformation", "DescribeStacks", "ValidationError",
         "cloudformation DescribeStacks in eu-west-1: ValidationError: Stack with id <x> does not "
         "exist",
         MRP_E_NOTFOUND, 400},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        json_t *out = NULL;
        assert_int_equal(call(&out, cases[i].service, cases[i].operation, NULL), cases[i].code);
        assert_null(out);
        assert_string_equal(err.msg, cases[i].msg);
        assert_string_equal(err.api, cases[i].api);
        assert_int_equal(err.upstream, cases[i].status);
    }
    json_t *out = NULL;
    assert_int_equal(call(&out, "ecs", "Bad", NULL), MRP_E_REMOTE);
}

static void repeated(void **state)
{
    (void)state;
    assert_int_equal(call(NULL, "ecs", "Busy", NULL), 0);
    assert_int_equal(atomic_load(&count), 3);
    assert_int_equal(call(NULL, "ecs", "Broken", NULL), 0);
    assert_int_equal(atomic_load(&count), 2);
    assert_int_equal(call(NULL, "ecs", "Skewed", NULL), 0);
    assert_true(mrp_starts(sent("X-Amz-Date"), "20441106T0849"));
    assert_true(aws->skew_ms > 0);
    aws->skew_ms = 0;
}

static int call_once(const char *operation)
{
    const struct mrp_aws_request req = {
        .service = "ecs", .region = "eu-west-1", .operation = operation, .once = true};
    err = (struct mrp_error){0};
    atomic_store(&count, 0);
    mrp_auto(mrp_free_json) json_t *out = NULL;
    return mrp_aws_do(&out, aws, &req, &err);
}

static void once(void **state)
{
    (void)state;
    static const struct {
        const char *operation;
        int rc;
        unsigned sent;
        bool open;
    } cases[] = {
        {"Lost", MRP_E_NET, 1, true},
        {"Broken", MRP_E_REMOTE, 1, true},
        {"Busy", 0, 3, false},
        {"Skewed", 0, 2, false},
        {"Missing", MRP_E_NOTFOUND, 1, false},
        {"Denied", MRP_E_AUTH, 1, false},
        {"Bad", MRP_E_REMOTE, 1, true},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        assert_int_equal(call_once(cases[i].operation), cases[i].rc);
        assert_int_equal(atomic_load(&count), cases[i].sent);
        assert_int_equal(mrp_aws_is_open(&err), cases[i].open);
    }
    aws->skew_ms = 0;
    assert_int_equal(call(NULL, "ecs", "Lost", NULL), 0);
    assert_int_equal(atomic_load(&count), 2);
}

static void query_calls(void **state)
{
    (void)state;
    mrp_auto(mrp_free_json) json_t *groups = NULL;
    assert_int_equal(
        call(&groups, "elasticloadbalancing", "DescribeTargetGroups", "{\"Names\":[\"a\",\"b\"]}"),
        0);
    assert_string_equal(
        last_body,
        "Action=DescribeTargetGroups&Version=2015-12-01&Names.member.1=a&Names.member.2=b");
    assert_string_equal(
        mrp_json_str(json_array_get(mrp_json_arr(groups, "TargetGroups"), 0), "Name"), "a");
    mrp_auto(mrp_free_json) json_t *vpcs = NULL;
    assert_int_equal(call(&vpcs, "ec2", "DescribeVpcs", NULL), 0);
    assert_int_equal(json_array_size(mrp_json_arr(vpcs, "vpcSet")), 2);
    assert_null(json_object_get(vpcs, "requestId"));
    mrp_auto(mrp_free_json) json_t *none = NULL;
    assert_int_equal(call(&none, "cloudformation", "DeleteStack", NULL), 0);
    assert_int_equal(json_object_size(none), 0);
    const char *account = NULL;
    assert_int_equal(mrp_aws_account(&account, aws, &err), 0);
    assert_string_equal(account, "111122223333");
    unsigned hits = server_hits(server);
    assert_int_equal(mrp_aws_account(&account, aws, &err), 0);
    assert_int_equal(server_hits(server), hits);
    assert_int_equal(call(NULL, "iam", "X", NULL), 0);
    assert_non_null(strstr(sent("Authorization"), "/us-east-1/iam/"));
}

static void rest_calls(void **state)
{
    (void)state;
    mrp_auto(mrp_free_json) json_t *out = NULL;
    assert_int_equal(
        call(&out, "lambda", "GET /2015-03-31/functions/a%3Ab", "{\"Marker\":\"x/y\",\"Max\":5}"),
        0);
    assert_true(mrp_json_bool(out, "rest", false));
    assert_true(mrp_starts(last_head, "GET /2015-03-31/functions/a%3Ab?Marker=x%2Fy&Max=5 "));
    assert_int_equal(call(NULL, "xray", "POST /CreateGroup", "{\"GroupName\":\"g\"}"), 0);
    assert_string_equal(last_body, "{\"GroupName\":\"g\"}");
    assert_string_equal(sent("Content-Type"), "application/json");
    assert_int_equal(call(NULL, "xray", "CreateGroup", NULL), MRP_E_BUG);
}

static int add_up(void *arg, const json_t *page, struct mrp_error *e)
{
    int *sum = arg;
    if (*sum < 0)
        return mrp_fail(e, MRP_E_IO, "enough");
    const json_t *items = mrp_json_arr(page, "items");
    for (size_t i = 0; i < json_array_size(items); i++)
        *sum += (int)json_integer_value(json_array_get(items, i));
    return 0;
}

static void pages(void **state)
{
    (void)state;
    int sum = 0;
    assert_int_equal(mrp_aws_pages(aws, "ecr", "eu-west-1", "List", NULL, add_up, &sum, &err), 0);
    assert_int_equal(sum, 6);
    sum = -1;
    assert_int_equal(mrp_aws_pages(aws, "ecr", "eu-west-1", "List", NULL, add_up, &sum, &err),
                     MRP_E_IO);
}

static int call_in_task(void *arg, struct mrp_error *e)
{
    mrp_auto(mrp_free_json) json_t *out = NULL;
    json_t *input = json_pack("{s:s}", "x", "y");
    int rc = mrp_aws_call(&out, arg, "ecs", "us-east-1", "Echo", input, e);
    json_decref(input);
    return rc ? rc : mrp_json_str(out, "x") ? 0 : mrp_fail(e, MRP_E_BUG, "no echo");
}

static void in_tasks(void **state)
{
    (void)state;
    mrp_auto(mrp_group_free) struct mrp_group *group = NULL;
    assert_int_equal(mrp_group_new(&group, http, 16, &err), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(mrp_group_spawn(group, call_in_task, aws, &err), 0);
    if (mrp_group_wait(group, &err) != 0)
        fail_msg("%s", err.msg);
}

static int start_all(void **state)
{
    (void)state;
    server = server_start(handle, NULL);
    setenv("AWS_ENDPOINT_URL", server_url(server), 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    setenv("AWS_SESSION_TOKEN", "the/token==", 1);
    if (mrp_http_new(&http, NULL, &err) != 0)
        return -1;
    return mrp_aws_new(&aws, http, NULL, &err);
}

static int stop_all(void **state)
{
    (void)state;
    mrp_aws_free(&aws);
    mrp_http_free(&http);
    server_stop(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_calls), cmocka_unit_test(errors),      cmocka_unit_test(repeated),
        cmocka_unit_test(once),       cmocka_unit_test(query_calls), cmocka_unit_test(rest_calls),
        cmocka_unit_test(pages),      cmocka_unit_test(in_tasks),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
