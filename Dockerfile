# The command solo-d2 with d2lite and compiled kernels.
#
#   docker build -t solo_d2 .
#   docker build -t solo_d2:cuda --build-arg VARIANT=cuda .
#   docker run --rm -v "$PWD":/data solo_d2 predict --input photo.jpg
#   docker run --rm -v "$PWD":/data --gpus all --ipc host solo_d2:cuda train --config-file quick/solov2_tiny
ARG VARIANT=cpu

FROM python:3.12-slim-trixie AS build-cpu
# PyPI's torch for Linux is the CUDA build.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu TORCH_VARIANT=+cpu
RUN apt-get update && apt-get install -y --no-install-recommends g++

# The CUDA version of PyPI's torch in constraints.txt; no GPU is needed to compile.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS build-cuda
ENV FORCE_CUDA=1
RUN apt-get update && apt-get install -y --no-install-recommends g++ python3-dev python3-venv

FROM build-${VARIANT} AS build
RUN python3 -m venv /opt/build && mkdir /wheels
ENV PATH=/opt/build/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY constraints.txt /source/
RUN pip install -c /source/constraints.txt "torch==$(sed -n 's/^torch==//p' /source/constraints.txt)$TORCH_VARIANT" \
    setuptools wheel
COPY d2lite /source/d2lite
COPY configs /source/configs
COPY solo_d2 /source/solo_d2
COPY LICENSE README.md pyproject.toml setup.py /source/
RUN pip wheel --no-deps --no-build-isolation -w /wheels /source /source/d2lite \
    && ls /wheels/solo_d2-*linux* && pip freeze | grep ^torch== > /wheels/torch.txt

FROM python:3.12-slim-trixie
ARG VARIANT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    if [ "$VARIANT" = cpu ]; then export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu; fi \
    && pip install -r /wheels/torch.txt \
    && pip install -c /constraints.txt /wheels/*.whl tensorboard faster-coco-eval \
    && solo-d2 env
WORKDIR /data
ENTRYPOINT ["solo-d2"]
CMD ["--help"]
