/* One table of the AWS services that mrpipe can call: names, protocols, versions. */
#include "services.h"

#include <mrpipe/attrs.h>

#include <stddef.h>
#include <string.h>

#define JSON10 AWS_JSON_10
#define JSON11 AWS_JSON_11
#define QUERY AWS_QUERY

/* clang-format off */
static const struct aws_service services[] = {
    /* name, alias, host prefix, signing name, environment id, protocol, target, version, global */
    {"ecr", NULL, "api.ecr", "ecr", "ECR", JSON11, "AmazonEC2ContainerRegistry_V20150921", NULL, NULL},
    {"ecs", NULL, "ecs", "ecs", "ECS", JSON11, "AmazonEC2ContainerServiceV20141113", NULL, NULL},
    {"codecommit", NULL, "codecommit", "codecommit", "CODECOMMIT", JSON11, "CodeCommit_20150413", NULL, NULL},
    {"codebuild", NULL, "codebuild", "codebuild", "CODEBUILD", JSON11, "CodeBuild_20161006", NULL, NULL},
    {"codedeploy", NULL, "codedeploy", "codedeploy", "CODEDEPLOY", JSON11, "CodeDeploy_20141006", NULL, NULL},
    {"codepipeline", NULL, "codepipeline", "codepipeline", "CODEPIPELINE", JSON11, "CodePipeline_20150709", NULL, NULL},
    {"ssm", NULL, "ssm", "ssm", "SSM", JSON11, "AmazonSSM", NULL, NULL},
    {"secretsmanager", NULL, "secretsmanager", "secretsmanager", "SECRETS_MANAGER", JSON11, "secretsmanager", NULL, NULL},
    {"logs", NULL, "logs", "logs", "CLOUDWATCH_LOGS", JSON11, "Logs_20140328", NULL, NULL},
    {"events", "eventbridge", "events", "events", "EVENTBRIDGE", JSON11, "AWSEvents", NULL, NULL},
    {"application-autoscaling", NULL, "application-autoscaling", "application-autoscaling", "APPLICATION_AUTO_SCALING", JSON11, "AnyScaleFrontendService", NULL, NULL},
    {"acm", NULL, "acm", "acm", "ACM", JSON11, "CertificateManager", NULL, NULL},
    {"kms", NULL, "kms", "kms", "KMS", JSON11, "TrentService", NULL, NULL},
    {"cognito-idp", NULL, "cognito-idp", "cognito-idp", "COGNITO_IDENTITY_PROVIDER", JSON11, "AWSCognitoIdentityProviderService", NULL, NULL},
    {"servicediscovery", NULL, "servicediscovery", "servicediscovery", "SERVICEDISCOVERY", JSON11, "Route53AutoNaming_v20170314", NULL, NULL},
    {"globalaccelerator", NULL, "globalaccelerator", "globalaccelerator", "GLOBAL_ACCELERATOR", JSON11, "GlobalAccelerator_V20180706", NULL, "us-west-2"},
    {"tagging", "resourcegroupstaggingapi", "tagging", "tagging", "RESOURCE_GROUPS_TAGGING_API", JSON11, "ResourceGroupsTaggingAPI_20170126", NULL, NULL},
    {"dynamodb", NULL, "dynamodb", "dynamodb", "DYNAMODB", JSON10, "DynamoDB_20120810", NULL, NULL},
    {"states", "stepfunctions", "states", "states", "SFN", JSON10, "AWSStepFunctions", NULL, NULL},
    {"sqs", NULL, "sqs", "sqs", "SQS", JSON10, "AmazonSQS", NULL, NULL},
    {"sts", NULL, "sts", "sts", "STS", QUERY, NULL, "2011-06-15", NULL},
    {"iam", NULL, "iam", "iam", "IAM", QUERY, NULL, "2010-05-08", "us-east-1"},
    {"cloudformation", NULL, "cloudformation", "cloudformation", "CLOUDFORMATION", QUERY, NULL, "2010-05-15", NULL},
    {"elbv2", "elasticloadbalancing", "elasticloadbalancing", "elasticloadbalancing", "ELASTIC_LOAD_BALANCING_V2", QUERY, NULL, "2015-12-01", NULL},
    {"autoscaling", NULL, "autoscaling", "autoscaling", "AUTO_SCALING", QUERY, NULL, "2011-01-01", NULL},
    {"cloudwatch", "monitoring", "monitoring", "monitoring", "CLOUDWATCH", QUERY, NULL, "2010-08-01", NULL},
    {"rds", NULL, "rds", "rds", "RDS", QUERY, NULL, "2014-10-31", NULL},
    {"sns", NULL, "sns", "sns", "SNS", QUERY, NULL, "2010-03-31", NULL},
    {"ec2", NULL, "ec2", "ec2", "EC2", AWS_EC2, NULL, "2016-11-15", NULL},
    {"lambda", NULL, "lambda", "lambda", "LAMBDA", AWS_REST_JSON, NULL, NULL, NULL},
    {"apigateway", NULL, "apigateway", "apigateway", "API_GATEWAY", AWS_REST_JSON, NULL, NULL, NULL},
    {"xray", NULL, "xray", "xray", "XRAY", AWS_REST_JSON, NULL, NULL, NULL},
    {"batch", NULL, "batch", "batch", "BATCH", AWS_REST_JSON, NULL, NULL, NULL},
    {"sso", NULL, "portal.sso", "awsssoportal", "SSO", AWS_REST_JSON, NULL, NULL, NULL},
    {"sso-oidc", NULL, "oidc", "sso-oauth", "SSO_OIDC", AWS_REST_JSON, NULL, NULL, NULL},
    {"s3", NULL, "s3", "s3", "S3", AWS_REST_XML, NULL, NULL, NULL},
    {"route53", NULL, "route53", "route53", "ROUTE_53", AWS_REST_XML, NULL, NULL, "us-east-1"},
    {"cloudfront", NULL, "cloudfront", "cloudfront", "CLOUDFRONT", AWS_REST_XML, NULL, NULL, "us-east-1"},
};
/* clang-format on */

const struct aws_service *aws_service_find(const char *name)
{
    for (size_t i = 0; i < MRP_COUNT(services); i++)
        if (strcmp(services[i].name, name) == 0 ||
            (services[i].alias && strcmp(services[i].alias, name) == 0))
            return &services[i];
    return NULL;
}

const struct aws_service *aws_service_at(unsigned index)
{
    return index < MRP_COUNT(services) ? &services[index] : NULL;
}
