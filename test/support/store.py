"""What the stores behind a gateway have in common: a server process that ends, stands still and goes on, and its blobs."""
import os
import signal

from arca import wait_until


class Server:
    """`process` is the one that answers; None: it does not run."""

    process = None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # until each of its threads has stopped, it may answer

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class S3Store(Server):
    """With `endpoint`, `bucket`, and the two keys in `access` and in the file `keys`."""

    def write_keys(self):
        self.keys.write_text("access_key_id: {}\nsecret_access_key: {}\n".format(*self.access))
        self.keys.chmod(0o600)

    def make_bucket(self):
        wait_until(self._has_bucket, what=f"there is a bucket {self.bucket}")

    def _has_bucket(self):
        """MinIO says that it is ready before it is."""
        from botocore.exceptions import ClientError
        client = self.boto3(retries={"max_attempts": 0})
        try:
            if self.bucket not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=self.bucket)
        except ClientError:
            return False
        return True

    def boto3(self, **config):
        """Without checksums: where it checks one, botocore does not understand an error that comes instead of a body."""
        import boto3
        import botocore.config
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=self.access[0],
                            aws_secret_access_key=self.access[1], region_name="us-east-1",
                            config=botocore.config.Config(response_checksum_validation="when_required", **config))

    def keys_of(self, prefix=""):
        pages = self.boto3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key):
        return self.boto3(retries={"max_attempts": 0}).get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def write(self, key, body):
        self.boto3().put_object(Bucket=self.bucket, Key=key, Body=body)

    def settings(self, name, **more):
        return {"name": name, "driver": "s3", "endpoint": self.endpoint, "bucket": self.bucket,
                "credentials": {"file": str(self.keys)}, **more}
