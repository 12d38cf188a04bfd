# The database servers of a lab server as an image of their own, which its
# engine runs: a few of the files of BASE, and nothing else.
ARG BASE
FROM $BASE AS all
COPY lab-box /usr/local/bin/docker-entrypoint.sh
COPY collect /collect
RUN sh /collect /box
FROM scratch
COPY --from=all /box /
ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/usr/lib/postgresql/bin
