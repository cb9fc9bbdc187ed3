"""Validates pods against the schema of Kubernetes: a JSON document a line on stdin, as render_pods.py prints.

A field that Kubernetes does not know is an error, and so is a pod that could do more than a job needs.
"""

import json
import sys

import kubernetes_validate

VERSION = "1.33"


def unconfined(pod: dict) -> list[str]:
    """Return what a pod may do and should not."""
    spec = pod["spec"]
    [container] = spec["containers"]
    rules = {
        "runs as root": spec["securityContext"]["runAsNonRoot"] is not True,
        "has a token of the cluster": spec["automountServiceAccountToken"] is not False,
        "is on the host's network": bool(spec.get("hostNetwork")),
        "may write to its root": container["securityContext"]["readOnlyRootFilesystem"] is not True,
        "keeps capabilities": container["securityContext"]["capabilities"] != {"drop": ["ALL"]},
        "has no memory limit": "memory" not in container["resources"]["limits"],
        "mounts more than memory": any(set(volume) != {"emptyDir", "name"} for volume in spec["volumes"]),
        "has a password in its manifest": any(
            "PASSWORD" in variable["name"] and "value" in variable for variable in container["env"]
        ),
    }
    return [what for what, holds in rules.items() if holds]


def main() -> int:
    """Print what is wrong; return how a check ends."""
    pods = [json.loads(line) for line in sys.stdin if line.startswith('{"dag"')]
    wrong = []
    for found in pods:
        name = f"{found['dag']}.{found['task']}"
        try:
            kubernetes_validate.validate(found["pod"], VERSION, strict=True)
        except kubernetes_validate.ValidationError as problem:
            wrong.append(f"{name}: {problem}")
        wrong += [f"{name} {what}" for what in unconfined(found["pod"])]
    print(f"{len(pods)} pods, {len(wrong)} wrong", *wrong, sep="\n")
    return 1 if wrong or not pods else 0


sys.exit(main())
