# Copyright The qualysvmdr Authors
# SPDX-License-Identifier: Apache-2.0
"""Collects every open detection as a plain threaded program does, and prints how long that took and what it got:
peer.py URL USERNAME PASSWORD HOSTS-PER-PAGE THREADS OUT

It asks the host list for all IDs, cuts them into chunks of a page, and has as many threads as calls may run at once ask for
one chunk after the other."""

import base64
import http.client
import json
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

url, username, password, per_page, threads, out = sys.argv[1:]
host = urllib.parse.urlsplit(url).netloc
login = base64.b64encode(f"{username}:{password}".encode()).decode()
headers = {"Authorization": "Basic " + login, "X-Requested-With": "peer.py", "Content-Type": "application/x-www-form-urlencoded"}
own = threading.local()
writing = threading.Lock()
lines = identities = 0


def call(path, **parameters):
    if not hasattr(own, "connection"):
        own.connection = http.client.HTTPConnection(host)
    own.connection.request("POST", path, urllib.parse.urlencode({"action": "list", **parameters}), headers)
    response = own.connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {response.read()[:500]}")
    return response


def value(element):
    if len(element) == 0:
        return element.text or ""
    if element.tag == "TAGS":
        return [value(child) for child in element]
    if element.tag == "QDS_FACTORS":
        return {child.get("name"): child.text for child in element}
    return {child.tag: value(child) for child in element}


def collect(ids):
    global lines, identities
    response = call("/api/5.0/fo/asset/host/vm/detection/", ids=f"{ids[0]}-{ids[-1]}", truncation_limit=0, status="New,Active,Re-Opened",
                    show_asset_id=1, show_tags=1, show_qds=1, show_qds_factors=1, show_cloud_tags=1, show_reopened_info=1,
                    host_metadata="all", vuln_detection_source=1)
    for _, element in ElementTree.iterparse(response):
        if element.tag != "HOST":
            continue
        record = {"LogType": "vulnerabilityLogs"}
        record.update((child.tag, value(child)) for child in element if child.tag != "DETECTION_LIST")
        text, count, total = [], 0, 0
        for detection in element.iterfind("DETECTION_LIST/DETECTION"):
            record["DETECTION"] = value(detection)
            text.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
            count, total = count + 1, total + int(detection.findtext("UNIQUE_VULN_ID"))
        with writing:
            records.writelines(text)
            lines, identities = lines + count, identities + total
        element.clear()
    response.read()


began = time.monotonic()
with open(out, "w", encoding="utf-8") as records:
    listed = []
    for _, element in ElementTree.iterparse(call("/api/5.0/fo/asset/host/", details="None", truncation_limit=0)):
        if element.tag in ("ID", "ID_RANGE"):
            first, _, last = element.text.partition("-")
            listed.extend(range(int(first), int(last or first) + 1))
    chunks = [listed[i : i + int(per_page)] for i in range(0, len(listed), int(per_page))]
    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(collect, chunks))
print(json.dumps({"seconds": time.monotonic() - began, "records": lines, "identities": identities % 2**64}))
