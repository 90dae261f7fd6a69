"""The aws package's types of identity and keeping, as calls: IAM's roles and profiles, S3's buckets, KMS' keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rehearsal.providers.aws_kind import (
    Api,
    Change,
    Inputs,
    Kind,
    Made,
    found,
    given,
    shaped,
    tag_list,
    unless_gone,
    words,
)

# ---------------------------------------------------------------- IAM


def _role(api: Api, inputs: Inputs) -> Made:
    asked = given(
        inputs,
        RoleName="name",
        AssumeRolePolicyDocument="assumeRolePolicy",
        Description="description",
        Path="path",
        MaxSessionDuration="maxSessionDuration",
        PermissionsBoundary="permissionsBoundary",
    )
    made = api.iam.create_role(**asked, Tags=tag_list(inputs.get("tags")))["Role"]
    return Made(made["RoleName"], {"arn": made["Arn"], "uniqueId": made["RoleId"]})


def _role_trusts(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    api.iam.update_assume_role_policy(RoleName=made, PolicyDocument=new["assumeRolePolicy"])


def _role_said(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    api.iam.update_role(RoleName=made, **given(new, Description="description", MaxSessionDuration="maxSessionDuration"))


def _retag(tag: str, untag: str, of: str) -> Change:
    def change(api: Api, made: str, old: Inputs, new: Inputs) -> None:
        before, now = old.get("tags") or {}, new.get("tags") or {}
        if before.keys() - now.keys():
            getattr(api.iam, untag)(**{of: made}, TagKeys=sorted(before.keys() - now.keys()))
        getattr(api.iam, tag)(**{of: made}, Tags=tag_list(now))

    return change


def _role_policy(api: Api, inputs: Inputs) -> Made:
    role, name = inputs["role"], inputs["name"]
    api.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=inputs["policy"])
    return Made(f"{role}:{name}")


def _role_policy_says(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    _role_policy(api, new)


def _role_policy_goes(api: Api, made: str, old: Inputs) -> None:
    unless_gone(lambda: api.iam.delete_role_policy(RoleName=old["role"], PolicyName=old["name"]))


def _role_policy_is(api: Api, made: str, old: Inputs) -> bool:
    return found(lambda: api.iam.get_role_policy(RoleName=old["role"], PolicyName=old["name"]))


def _profile(api: Api, inputs: Inputs) -> Made:
    asked = given(inputs, InstanceProfileName="name", Path="path")
    made = api.iam.create_instance_profile(**asked, Tags=tag_list(inputs.get("tags")))["InstanceProfile"]
    if inputs.get("role"):
        api.iam.add_role_to_instance_profile(InstanceProfileName=inputs["name"], RoleName=inputs["role"])
    return Made(inputs["name"], {"arn": made["Arn"], "uniqueId": made["InstanceProfileId"]})


def _profile_goes(api: Api, made: str, old: Inputs) -> None:
    if old.get("role"):
        unless_gone(lambda: api.iam.remove_role_from_instance_profile(InstanceProfileName=made, RoleName=old["role"]))
    unless_gone(lambda: api.iam.delete_instance_profile(InstanceProfileName=made))


# ---------------------------------------------------------------- S3


def _bucket(api: Api, inputs: Inputs) -> Made:
    name = inputs["bucket"]
    # In this one region AWS refuses that it is named.
    where = {} if api.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": api.region}}
    api.s3.create_bucket(Bucket=name, **where)
    if inputs.get("tags"):
        _bucket_tags(api, name, {}, inputs)
    outputs = {
        "arn": f"arn:aws:s3:::{name}",
        "bucketDomainName": f"{name}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{name}.s3.{api.region}.amazonaws.com",
        "bucketRegion": api.region,
    }
    return Made(name, outputs)


def _bucket_tags(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    api.s3.put_bucket_tagging(Bucket=made, Tagging={"TagSet": tag_list(new.get("tags"))})


def _bucket_flag(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    """Only what the delete does differs by it."""


def _bucket_goes(api: Api, made: str, old: Inputs) -> None:
    if old.get("forceDestroy"):
        unless_gone(lambda: _empty(api, made))
    unless_gone(lambda: api.s3.delete_bucket(Bucket=made))


def _empty(api: Api, bucket: str) -> None:
    listed = api.s3.list_object_versions(Bucket=bucket)
    for item in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
        api.s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


def _of_bucket(
    puts: Callable[[Api, Inputs], object], gets: str, deletes: str, changing: str, fixed: str = "bucket"
) -> Kind:
    """Something that a bucket has one of: put again when it changes. changing, fixed: the names of its inputs."""

    def create(api: Api, inputs: Inputs) -> Made:
        puts(api, inputs)
        return Made(inputs["bucket"])

    def change(api: Api, made: str, old: Inputs, new: Inputs) -> None:
        puts(api, new)

    def delete(api: Api, made: str, old: Inputs) -> None:
        if deletes:
            unless_gone(lambda: getattr(api.s3, deletes)(Bucket=made))

    def exists(api: Api, made: str, old: Inputs) -> bool:
        return found(lambda: getattr(api.s3, gets)(Bucket=made))

    return Kind(create, delete, exists, words(fixed), dict.fromkeys(changing.split(), change))


def _encryption(api: Api, inputs: Inputs) -> None:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": _by_default(rule["applyServerSideEncryptionByDefault"]),
            **given(rule, BucketKeyEnabled="bucketKeyEnabled"),
        }
        for rule in inputs["rules"]
    ]
    configuration = {"Rules": rules}
    api.s3.put_bucket_encryption(Bucket=inputs["bucket"], ServerSideEncryptionConfiguration=configuration)


def _by_default(said: Inputs) -> Inputs:
    return given(said, SSEAlgorithm="sseAlgorithm", KMSMasterKeyID="kmsMasterKeyId")


def _public_access(api: Api, inputs: Inputs) -> None:
    blocked = given(
        inputs,
        BlockPublicAcls="blockPublicAcls",
        BlockPublicPolicy="blockPublicPolicy",
        IgnorePublicAcls="ignorePublicAcls",
        RestrictPublicBuckets="restrictPublicBuckets",
    )
    api.s3.put_public_access_block(Bucket=inputs["bucket"], PublicAccessBlockConfiguration=blocked)


def _ownership(api: Api, inputs: Inputs) -> None:
    rule = shaped(inputs["rule"])
    api.s3.put_bucket_ownership_controls(Bucket=inputs["bucket"], OwnershipControls={"Rules": [rule]})


def _bucket_policy(api: Api, inputs: Inputs) -> None:
    api.s3.put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])


def _versioning(api: Api, inputs: Inputs) -> None:
    said = shaped(inputs["versioningConfiguration"])
    api.s3.put_bucket_versioning(Bucket=inputs["bucket"], VersioningConfiguration=said)


def _lifecycle(api: Api, inputs: Inputs) -> None:
    rules = [_lifecycle_rule(rule) for rule in inputs.get("rules") or ()]
    configuration = {"Rules": rules}
    api.s3.put_bucket_lifecycle_configuration(Bucket=inputs["bucket"], LifecycleConfiguration=configuration)


def _lifecycle_rule(rule: Inputs) -> Inputs:
    made = {"ID": rule["id"], "Status": rule["status"], "Filter": _filter(rule.get("filter") or {})}
    parts = {
        "expiration": "Expiration",
        "noncurrentVersionExpiration": "NoncurrentVersionExpiration",
        "abortIncompleteMultipartUpload": "AbortIncompleteMultipartUpload",
    }
    return {**made, **{to: shaped(rule[of]) for of, to in parts.items() if rule.get(of)}}


def _filter(said: Inputs) -> dict[str, Any]:
    return shaped(said) or {"Prefix": ""}


KINDS: Final[Mapping[str, Kind]] = {
    "aws:iam/role:Role": Kind(
        _role,
        lambda api, made, old: unless_gone(lambda: api.iam.delete_role(RoleName=made)),
        lambda api, made, old: found(lambda: api.iam.get_role(RoleName=made)),
        words("name path permissionsBoundary"),
        {
            "tags": _retag("tag_role", "untag_role", "RoleName"),
            "assumeRolePolicy": _role_trusts,
            **dict.fromkeys(("description", "maxSessionDuration"), _role_said),
        },
    ),
    "aws:iam/rolePolicy:RolePolicy": Kind(
        _role_policy, _role_policy_goes, _role_policy_is, words("name role"), {"policy": _role_policy_says}
    ),
    "aws:iam/instanceProfile:InstanceProfile": Kind(
        _profile,
        _profile_goes,
        lambda api, made, old: found(lambda: api.iam.get_instance_profile(InstanceProfileName=made)),
        words("name path role"),
        {"tags": _retag("tag_instance_profile", "untag_instance_profile", "InstanceProfileName")},
    ),
    "aws:s3/bucket:Bucket": Kind(
        _bucket,
        _bucket_goes,
        lambda api, made, old: found(lambda: api.s3.head_bucket(Bucket=made)),
        words("bucket"),
        {"tags": _bucket_tags, "forceDestroy": _bucket_flag},
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _of_bucket(
        _encryption, "get_bucket_encryption", "delete_bucket_encryption", "rules"
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of_bucket(
        _public_access,
        "get_public_access_block",
        "delete_public_access_block",
        "blockPublicAcls blockPublicPolicy ignorePublicAcls restrictPublicBuckets",
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _of_bucket(
        _ownership, "get_bucket_ownership_controls", "delete_bucket_ownership_controls", "rule"
    ),
    "aws:s3/bucketPolicy:BucketPolicy": _of_bucket(
        _bucket_policy, "get_bucket_policy", "delete_bucket_policy", "policy"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": _of_bucket(
        _versioning, "get_bucket_versioning", "", "versioningConfiguration"
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _of_bucket(
        _lifecycle, "get_bucket_lifecycle_configuration", "delete_bucket_lifecycle", "rules"
    ),
}
