"""The shards of a plan by Dask, on this machine or a cluster: python dask_shards.py CATALOG PLAN N (docs/cluster.md)."""
import subprocess, sys
from dask.distributed import Client, as_completed

def shard(i, n, catalog, plan):
    subprocess.run(["sedflow", "-C", catalog, "--threads", "1", "infer", "--plan", plan, "--shard", f"{i}/{n}"], check=True)
    return i

if __name__ == "__main__":
    catalog, plan, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    todo = subprocess.run(["sedflow", "-q", "shard", "status", plan, "--todo", "--lines"], check=True, capture_output=True, text=True)
    with Client() as client:  # a cluster of this machine; Client("scheduler:8786"), or dask-jobqueue, for others
        for done in as_completed(client.map(shard, [int(i) for i in todo.stdout.split()], n=n, catalog=catalog, plan=plan, pure=False, retries=2)):
            print("shard", done.result())
