#!/usr/bin/env python3
"""Sets up libtorch 2.13.0 and links it into the checkout as `.libtorch`.

The libraries come from PyPI's wheels, so that no compiler and no other download is needed. They are
kept in ${XDG_CACHE_HOME:-~/.cache}/torchfront, checked against the hashes below, and reused by every
checkout. A LIBTORCH that is already set wins: nothing is fetched then.

usage: libtorch.py [--cuda]
  --cuda   the build with CUDA 13 and its NVIDIA libraries (about 4 GB), for a machine with a GPU
"""
import argparse
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import zipfile

VERSION = "2.13.0"

# From the index's own records (PyPI, simple API). `python` and `platform` are told to pip, so that
# the machine's own Python does not matter.
PLATFORMS = {
    ("Linux", "x86_64"): dict(
        platforms=["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
        requirements=[
            ("torch==2.13.0", "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b"),
            ("nvidia-cuda-runtime==13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
            ("nvidia-cuda-cupti==13.0.85", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
        ],
    ),
    ("Linux", "aarch64"): dict(
        platforms=["manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"],
        requirements=[("torch==2.13.0", "572df8be8ffb4599c88cbd6a0726f1f854f4da65d2e3c09f0e2c2283333cd6d4")],
    ),
    ("Darwin", "arm64"): dict(
        platforms=["macosx_14_0_arm64"],
        requirements=[("torch==2.13.0", "2fe228aba290d14b9f31b049be550dbd469c3fd3013d7a19705b30454da97027")],
    ),
}

# What a CPU libtorch is made of: everything else in the wheel is CUDA or Python.
CPU_LIBRARIES = ("libc10", "libtorch.", "libtorch_cpu", "libgomp", "libomp", "libcudart", "libcupti", "libarm_compute")

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


def say(text):
    print(f"libtorch: {text}", file=sys.stderr, flush=True)


def fail(text):
    say(text)
    sys.exit(1)


def cache():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "torchfront"


def version_of(folder):
    try:
        return (folder / "build-version").read_text().strip().split("+")[0]
    except OSError:
        return None


def check_own(folder):
    """A LIBTORCH that the user set is only looked at, never changed."""
    if not any((folder / "lib").glob("libtorch_cpu.*")):
        fail(f"LIBTORCH={folder} has no lib/libtorch_cpu; unset it, or point it to a libtorch {VERSION}")
    found = version_of(folder)
    if found and found != VERSION:
        fail(f"LIBTORCH={folder} is libtorch {found}; {VERSION} is needed (crate tch 0.26)")
    say(f"using LIBTORCH={folder}")


def complete(folder):
    """A folder is complete when every file has the size that was written down after unpacking."""
    try:
        for line in (folder / "files").read_text().splitlines():
            size, name = line.split(" ", 1)
            if (folder / name).stat().st_size != int(size):
                return False
        return version_of(folder) == VERSION
    except (OSError, ValueError):
        return False



def download(wheels, target, with_dependencies):
    """Wheels that are there already are kept: a set-up that was broken off goes on where it was."""
    wheels.mkdir(parents=True, exist_ok=True)
    command = ["-m", "pip", "download", "--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp",
               "--abi", "cp312", "--abi", "abi3", "--abi", "none", "--retries", "10", "--dest", str(wheels)]
    for name in target["platforms"]:
        command += ["--platform", name]
    help_text = subprocess.run([sys.executable, "-m", "pip", "download", "--help"], capture_output=True, text=True).stdout
    if "--resume-retries" in help_text:
        command += ["--resume-retries", "20"]  # a dropped connection goes on where it broke
    if with_dependencies:
        command += ["torch==" + VERSION]
    else:
        listing = wheels / "requirements.txt"
        listing.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in target["requirements"]))
        command += ["--no-deps", "--require-hashes", "-r", str(listing)]
    for attempt in range(3):
        if subprocess.call([sys.executable, *command], stdout=sys.stderr) == 0:
            return
        say(f"the download broke off (attempt {attempt + 1} of 3)")
    fail("pip could not download the wheels; check the network (pip's message is above) and run the command again")


def verify(wheels, target):
    """The hash of what will be unpacked, not of what pip once fetched."""
    known = {digest for _, digest in target["requirements"]}
    for wheel in wheels.glob("*.whl"):
        digest = hashlib.sha256()
        with wheel.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
        if digest.hexdigest() not in known:
            wheel.unlink()
            fail(f"{wheel.name} is not the file that this script knows (sha256 {digest.hexdigest()}); it was removed, run again")


def place(name, cuda):
    """Where a file of a wheel goes in the libtorch folder; none for a file that is not wanted."""
    base = name.rsplit("/", 1)[-1]
    if name.startswith("torch/include/") and not name.endswith("/"):
        return name[len("torch/"):]
    library = ".so" in base or base.endswith(".dylib")
    if name.startswith("torch/lib/") and library and "python" not in base and "libshm" not in base:
        if cuda or base.startswith(CPU_LIBRARIES) and "cuda" not in base.replace("libcudart", ""):
            return "lib/" + base
    if name.startswith("nvidia/") and "/lib/" in name and library:
        if cuda or base.startswith(CPU_LIBRARIES):
            return "lib/" + base
    return None


def unpack(wheels, folder, cuda):
    """Into a folder beside the final one, renamed when complete: never half a libtorch."""
    partial = folder.with_name(folder.name + f".partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        written = []
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for entry in archive.infolist():
                    target = place(entry.filename, cuda)
                    if not target:
                        continue
                    path = partial / target
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(entry) as source, path.open("wb") as sink:
                        shutil.copyfileobj(source, sink, 1 << 22)
                    written.append((entry.file_size, target))
        if not any(name.startswith("lib/libtorch_cpu.") for _, name in written):
            fail("the torch wheel has no libtorch_cpu")
        (partial / "build-version").write_text(VERSION + "\n")
        (partial / "files").write_text("".join(f"{size} {name}\n" for size, name in written))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def link(folder):
    """`.cargo/config.toml` points LIBTORCH here, so plain cargo commands work after the first make."""
    name = CHECKOUT / ".libtorch"
    if name.is_symlink() and name.readlink() == folder:
        return
    fresh = CHECKOUT / f".libtorch.{os.getpid()}"
    fresh.symlink_to(folder)
    fresh.replace(name)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cuda", action="store_true")
    cuda = arguments.parse_args().cuda
    own = os.environ.get("LIBTORCH")
    if own:
        check_own(pathlib.Path(own))
        link(pathlib.Path(own).resolve())
        return
    host = (platform.system(), platform.machine())
    target = PLATFORMS.get(host)
    if not target:
        fail(f"PyPI has no torch wheel for {' '.join(host)}; set LIBTORCH to a libtorch {VERSION} of your own")
    if cuda and host != ("Linux", "x86_64"):
        fail("the CUDA libtorch is for Linux on x86-64")
    kind = "cuda" if cuda else "cpu"
    folder = cache() / f"libtorch-{VERSION}-{kind}"
    if not complete(folder):
        wheels = cache() / f"wheels-{VERSION}-{kind}"
        say(f"fetching libtorch {VERSION} ({kind}) into {folder}; this happens once")
        download(wheels, target, with_dependencies=cuda)
        if not cuda:
            verify(wheels, target)
        say("unpacking")
        unpack(wheels, folder, cuda)
        shutil.rmtree(wheels, ignore_errors=True)
    link(folder)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("stopped; run the command again to go on")
    except OSError as error:
        fail(f"{error}; free some disk space (3 GB are needed) or fix the permissions, then run again")
