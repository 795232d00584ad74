"""`mondegreen publish`: the dataset of a release, for training jobs that have neither Git nor DVC."""

import argparse
import json
from dataclasses import asdict

from mondegreen import environments, publishing, repository
from mondegreen.errors import RepositoryError
from mondegreen.place import Place
from mondegreen.terminal import counted, progress

EXAMPLE = "mondegreen publish v1.2.0 --environment production"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("version", nargs="?", help="default: the newest release")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--environment", metavar="NAME", help="default: the chosen one, see mondegreen environment")
    where.add_argument("--to", metavar="URL", help="a bucket instead, such as gs://bucket")
    where.add_argument("--hub", metavar="ORG/NAME", help="a private dataset repository of the Hugging Face Hub instead")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be published")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Publish and say where, or that it is there already."""
    found = publishing.gather(repository.root(), args.version)
    url = "" if args.hub else environments.address("", url=args.to, name=args.environment).rstrip("/")
    if args.dry_run:
        return _dry(found, url, args)
    if args.hub:
        done = _to_hub(found, args.hub)
    else:
        with progress(found.size, "B", f"publishing {found.version}", scale=True) as advance:
            done = publishing.publish(found, Place(url), advance)
    if args.json:
        print(json.dumps(asdict(done) | {"version": found.version}, indent=2))
    elif done.new:
        print(f"published {found.version}: {done.url} ({counted(done.files, 'file')}, {done.size / 1e6:.1f} MB)")
    else:
        mended = f"; sent again, as lost or damaged there: {counted(done.files, 'file')}" if done.files else ""
        print(f"{found.version} is published already: {done.url}{mended}")
    if not args.json and not args.hub:
        print(f'a split: datasets.load_dataset("parquet", data_files={{"train": "{done.url}/data/train-*.parquet"}})')
    return 0


def _dry(found: publishing.Publication, url: str, args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps(found.manifest, indent=2))
        return 0
    where = f"{args.hub} on the Hugging Face Hub" if args.hub else f"{url}/{environments.DATASETS}/{found.version}"
    print(f"would publish {found.version} ({found.size / 1e6:.1f} MB) to {where}:")
    for name in [*sorted(found.files), publishing.COMPLETE]:
        print(f"  {name}")
    return 0


def _to_hub(found: publishing.Publication, name: str) -> publishing.Published:
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        return publishing.to_hub(found, name)
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        said = str(error).strip().splitlines()[0][:200]
        raise RepositoryError(f"the Hub did not take {name}: {said}; 'hf auth login' sets your token") from error
