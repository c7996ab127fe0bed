/* Services, regions, partitions, endpoints and their overrides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"

#include <mrpipe/auto.h>
#include <mrpipe/host.h>
#include <mrpipe/text.h>

#include <stdlib.h>
#include <string.h>

static struct mrp_error err;

static struct mrp_aws *client(struct mrp_stage *stage)
{
    struct mrp_aws *aws = NULL;
    if (mrp_aws_new(&aws, NULL, stage, &err) != 0)
        return NULL;
    return aws;
}

static void clear(void)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_ECS",
                                        "AWS_USE_FIPS_ENDPOINT",
                                        "AWS_USE_DUALSTACK_ENDPOINT",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                        "MRPIPE_ENDPOINTS"};
    for (size_t i = 0; i < MRP_COUNT(names); i++)
        unsetenv(names[i]);
}

static void expect(struct mrp_aws *aws, const char *service, const char *region, const char *wanted)
{
    mrp_auto(mrp_free_str) char *url = NULL;
    int rc = endpoint_find(&url, NULL, aws, aws_service_find(service), region, &err);
    if (rc)
        fail_msg("%s", err.msg);
    assert_string_equal(url, wanted);
}

static void hosts(void **state)
{
    (void)state;
    clear();
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = client(NULL);
    static const struct {
        const char *service, *region, *plain, *fips, *dual;
    } cases[] = {
        {"ecs", "us-east-1", "https://ecs.us-east-1.amazonaws.com",
         "https://ecs-fips.us-east-1.amazonaws.com", "https://ecs.us-east-1.api.aws"},
        {"ecr", "eu-west-1", "https://api.ecr.eu-west-1.amazonaws.com",
         "https://ecr-fips.eu-west-1.amazonaws.com", "https://ecr.eu-west-1.api.aws"},
        {"s3", "us-west-2", "https://s3.us-west-2.amazonaws.com",
         "https://s3-fips.us-west-2.amazonaws.com", "https://s3.dualstack.us-west-2.amazonaws.com"},
        {"sts", "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn",
         "https://sts-fips.cn-north-1.amazonaws.com.cn",
         "https://sts.cn-north-1.api.amazonwebservices.com.cn"},
        {"elasticloadbalancing", "us-gov-west-1",
         "https://elasticloadbalancing.us-gov-west-1.amazonaws.com",
         "https://elasticloadbalancing-fips.us-gov-west-1.amazonaws.com",
         "https://elasticloadbalancing.us-gov-west-1.api.aws"},
        {"iam", "ap-south-2", "https://iam.amazonaws.com", "https://iam.amazonaws.com",
         "https://iam.amazonaws.com"},
        {"iam", "us-gov-east-1", "https://iam.us-gov.amazonaws.com",
         "https://iam.us-gov.amazonaws.com", "https://iam.us-gov.amazonaws.com"},
        {"globalaccelerator", "eu-west-1", "https://globalaccelerator.us-west-2.amazonaws.com",
         "https://globalaccelerator.us-west-2.amazonaws.com",
         "https://globalaccelerator.us-west-2.amazonaws.com"},
    };
    for (size_t i = 0; i < MRP_COUNT(cases); i++) {
        expect(aws, cases[i].service, cases[i].region, cases[i].plain);
        setenv("AWS_USE_FIPS_ENDPOINT", "true", 1);
        expect(aws, cases[i].service, cases[i].region, cases[i].fips);
        clear();
        setenv("AWS_USE_DUALSTACK_ENDPOINT", "true", 1);
        expect(aws, cases[i].service, cases[i].region, cases[i].dual);
        clear();
    }
    mrp_auto(mrp_free_str) char *url = NULL;
    assert_int_equal(
        endpoint_find(&url, NULL, aws, aws_service_find("ecs"), "us-east-1.evil.org/", &err),
        MRP_E_CONFIG);
    assert_int_equal(endpoint_find(&url, NULL, aws, aws_service_find("ecs"), NULL, &err),
                     MRP_E_CONFIG);
}

static void environment(void **state)
{
    (void)state;
    clear();
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000/", 1);
    setenv("AWS_ENDPOINT_URL_ECS", "http://127.0.0.1:6000/ecs/", 1);
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = client(NULL);
    expect(aws, "ecr", "us-east-1", "http://127.0.0.1:5000");
    expect(aws, "ecs", "us-east-1", "http://127.0.0.1:6000/ecs");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    expect(aws, "ecs", "us-east-1", "https://ecs.us-east-1.amazonaws.com");
    clear();
}

static void expect_map(struct mrp_aws *aws, const char *from, const char *to)
{
    mrp_auto(mrp_free_str) char *url = NULL;
    assert_int_equal(mrp_aws_map_url(&url, aws, from, &err), 0);
    assert_string_equal(url, to);
}

static void overrides(void **state)
{
    (void)state;
    clear();
    setenv("MRPIPE_ENDPOINTS",
           "1.dkr.ecr.us-east-1.amazonaws.com=http://127.0.0.1:5001,"
           " *.dkr.ecr.*.amazonaws.com=http://127.0.0.1:5002/v ,"
           "git-codecommit.us-east-1.amazonaws.com=https://git.local:8443",
           1);
    json_t *map =
        json_pack("{s:s,s:s,s:s}", "ecs", "http://127.0.0.1:7000", "ecs.eu-west-1",
                  "http://127.0.0.1:7001", "sts.us-east-1.amazonaws.com", "http://127.0.0.1:7002");
    static char *none[] = {NULL};
    struct mrp_stage_init init = {.id = "t",
                                  .run_id = "r",
                                  .region = "us-east-1",
                                  .primary = "us-east-1",
                                  .secondaries = none,
                                  .workdir = ".",
                                  .rundir = ".",
                                  .role_arn = "",
                                  .endpoints = map};
    struct mrp_stage *stage = mrp_stage_new(&init);
    mrp_auto(mrp_aws_free) struct mrp_aws *aws = client(stage);
    assert_non_null(aws);
    expect(aws, "ecs", "us-east-1", "http://127.0.0.1:7000");
    expect(aws, "sts", "us-east-1", "http://127.0.0.1:7002");
    expect(aws, "sts", "us-east-2", "https://sts.us-east-2.amazonaws.com");
    expect_map(aws, "https://1.dkr.ecr.us-east-1.amazonaws.com/v2/?a=b",
               "http://127.0.0.1:5001/v2/?a=b");
    expect_map(aws, "https://2.dkr.ecr.us-east-1.amazonaws.com/v2/x",
               "http://127.0.0.1:5002/v/v2/x");
    expect_map(aws, "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/core",
               "https://git.local:8443/v1/repos/core");
    expect_map(aws, "https://github.com/x", "https://github.com/x");
    mrp_stage_free(stage);
    json_decref(map);
    clear();

    setenv("MRPIPE_ENDPOINTS", "nonsense", 1);
    assert_null(client(NULL));
    assert_int_equal(err.code, MRP_E_CONFIG);
    setenv("MRPIPE_ENDPOINTS", "h=nonsense", 1);
    assert_null(client(NULL));
    clear();
}

static void regions(void **state)
{
    (void)state;
    static const char *const good[] = {"us-east-1",      "ap-southeast-4", "us-gov-west-1",
                                       "cn-northwest-1", "eusc-de-east-1", "us-iso-east-1"};
    static const char *const bad[] = {"",           "us-east",   "us-east-",
                                      "useast1",    "US-EAST-1", "us-east-1a",
                                      "us-east-1/", "us--1",     "1-a-1"};
    for (size_t i = 0; i < MRP_COUNT(good); i++)
        assert_true(mrp_aws_is_region(good[i]));
    for (size_t i = 0; i < MRP_COUNT(bad); i++)
        assert_false(mrp_aws_is_region(bad[i]));
    assert_false(mrp_aws_is_region(NULL));
    assert_string_equal(mrp_aws_partition("cn-north-1"), "aws-cn");
    assert_string_equal(mrp_aws_partition("us-gov-east-1"), "aws-us-gov");
    assert_string_equal(mrp_aws_partition("us-isob-east-1"), "aws-iso-b");
    assert_string_equal(mrp_aws_partition("eu-west-1"), "aws");
    assert_string_equal(mrp_aws_suffix("cn-north-1"), "amazonaws.com.cn");
    assert_string_equal(mrp_aws_suffix("us-east-1"), "amazonaws.com");
}

static void table(void **state)
{
    (void)state;
    const struct aws_service *s;
    for (unsigned i = 0; (s = aws_service_at(i)) != NULL; i++) {
        bool json = s->protocol == AWS_JSON_10 || s->protocol == AWS_JSON_11;
        bool query = s->protocol == AWS_QUERY || s->protocol == AWS_EC2;
        assert_int_equal(json, s->target != NULL);
        assert_int_equal(query, s->version != NULL);
        assert_ptr_equal(aws_service_find(s->name), s);
    }
    assert_null(aws_service_find("nothing"));
}

static void forms(void **state)
{
    (void)state;
    json_error_t bad;
    json_t *input = json_loads(
        "{\"A\":\"x y&z\",\"L\":[{\"K\":true},{\"K\":1}],\"E\":[],\"O\":{\"P\":{\"Q\":1.5}},"
        "\"Tags\":[{\"Key\":\"k\"}],\"N\":null}",
        0, &bad);
    mrp_auto(mrp_free_str) char *sts = query_body(aws_service_find("sts"), "Op", input);
    assert_string_equal(
        sts, "Action=Op&Version=2011-06-15&A=x%20y%26z&L.member.1.K=true&L.member.2.K=1&E="
             "&O.P.Q=1.5&Tags.member.1.Key=k");
    mrp_auto(mrp_free_str) char *ec2 = query_body(aws_service_find("ec2"), "Op", input);
    assert_non_null(strstr(ec2, "&L.1.K=true&L.2.K=1"));
    mrp_auto(mrp_free_str) char *rds = query_body(aws_service_find("rds"), "Op", input);
    assert_non_null(strstr(rds, "&Tags.Tag.1.Key=k"));
    json_decref(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),   cmocka_unit_test(environment), cmocka_unit_test(overrides),
        cmocka_unit_test(regions), cmocka_unit_test(table),       cmocka_unit_test(forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
