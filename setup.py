"""The kernels and the configs of the package; pyproject.toml has everything else.

The kernels of ``solo_d2/ops/csrc`` are optional. They are compiled if torch is importable while this runs
(``pip install --no-build-isolation .``): C++ always, CUDA if torch has it and nvcc and a GPU are present.
``FORCE_CUDA=1`` builds CUDA without a GPU, ``TORCH_CUDA_ARCH_LIST`` chooses the architectures.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

try:
    from torch.utils.cpp_extension import BuildExtension

    HAS_TORCH = True
except ImportError:
    from setuptools.command.build_ext import build_ext as BuildExtension

    HAS_TORCH = False
    print("solo_d2: builds no kernels, torch is not importable here (pip's --no-build-isolation shows it)")

ROOT = Path(__file__).parent
CSRC = "solo_d2/ops/csrc"
# Every architecture since Volta; those that the toolkit at hand does not know are left out.
ARCHITECTURES = ("7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")


def default_arch_list() -> str:
    """Returns what nvcc can compile of :data:`ARCHITECTURES`, and PTX of the newest."""
    from torch.utils.cpp_extension import CUDA_HOME

    command = [os.path.join(CUDA_HOME, "bin", "nvcc"), "--list-gpu-arch"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    usable = [name for name in ARCHITECTURES if f"compute_{name.replace('.', '')}" in known]
    return ";".join(usable) + "+PTX"


def cuda_is_wanted() -> tuple[bool, str]:
    """Returns whether CUDA kernels are to be built, and why not."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if torch.version.cuda is None:
        return False, "this torch is a CPU build"
    if CUDA_HOME is None:
        return False, "nvcc was not found"
    if not torch.cuda.is_available() and os.environ.get("FORCE_CUDA", "0") != "1":
        return False, "no GPU here; FORCE_CUDA=1 builds without one"
    return True, ""


def make_extension(with_cuda: bool) -> Extension:
    """Describes ``solo_d2._C``, a plain shared library that registers kernels."""
    from torch.utils.cpp_extension import CppExtension, CUDAExtension

    sources = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / CSRC / "cpu").glob("*.cpp"))
    # Linking OpenMP too would load a second runtime in addition to torch's own.
    cxx = ["-O3", "-g0", *(["-fopenmp"] if platform.system() == "Linux" else [])]
    flags = {"cxx": cxx}
    if with_cuda:
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", default_arch_list())
        sources += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / CSRC / "cuda").glob("*.cu"))
        flags["nvcc"] = ["-O3"]
    make = CUDAExtension if with_cuda else CppExtension
    return make("solo_d2._C", sources, extra_compile_args=flags)


class BuildKernels(BuildExtension):
    """Builds what the machine can, says what was built, and never makes the installation fail."""

    def finalize_options(self):
        self.with_cuda, self.reason = cuda_is_wanted()
        self.distribution.ext_modules = [make_extension(self.with_cuda)]
        super().finalize_options()

    def run(self):
        options = self.inplace, self.compiler
        while self.extensions:
            try:
                super().run()
            except Exception as error:  # whatever a compiler or its absence raises
                self.reason = f"compilation failed ({type(error).__name__}: {error})"
                if not self.with_cuda:
                    self.distribution.ext_modules = self.extensions = []
                else:
                    self.with_cuda = False
                    self.inplace, self.compiler = options  # changed while the attempt ran
                    vars(self.extensions[0]).update(vars(make_extension(False)))
                continue
            built = "C++ and CUDA" if self.with_cuda else f"C++ kernels, no CUDA kernels ({self.reason})"
            print(f"solo_d2: built {built}")
            return
        print(f"solo_d2: built no kernels, the PyTorch references will run: {self.reason}")


class BuildWithConfigs(build_py):
    """Puts ``configs/`` into the installed package, where ``solo_d2.config.loading`` looks for it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "solo_d2" / "model_zoo" / "configs"
            shutil.copytree(ROOT / "configs", target, dirs_exist_ok=True)


setup(
    # Filled in when it is built; without torch at hand there is nothing to build it with.
    ext_modules=[Extension("solo_d2._C", [])] if HAS_TORCH else [],
    cmdclass={"build_ext": BuildKernels, "build_py": BuildWithConfigs},
)
