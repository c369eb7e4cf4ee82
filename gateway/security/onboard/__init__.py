"""Devices from draft to retired: who has approved which one, over one hash, and what may be opened because of it.

record      what people write of a device: etc_dir/devices.d/ASSET.toml, and the risks it names
canonical   one way to write a value down, so that its hash means something
content     what an approval is about: device, profile, conduits, policy, version of the gateway
life        the states and what leads from one to another: one table, pure
approval    a request and its signatures: two people, two roles, none the submitter
journal     what people on the box have done: suspend, resume, revoke, retire
observed    what devices say that they are
standing    all of it as one answer per device: may it be opened, and why not
guard       the answer at run time, judged anew each second
"""
