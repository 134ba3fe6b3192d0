"""check_layers.py on small trees: what it must find and what it must leave alone."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECK = Path(__file__).resolve().parents[1] / "support" / "check_layers.py"


def check(files):
    """The exit code and the output for a tree of {path: text}."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        done = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True)
        return done.returncode, done.stdout


class CheckLayersTest(unittest.TestCase):
    def refused(self, files, where, why):
        code, output = check(files)
        self.assertEqual(code, 1, output)
        self.assertIn(where, output)
        self.assertIn(why, output)

    def accepted(self, files):
        code, output = check(files)
        self.assertEqual(code, 0, output)

    def test_a_service_may_not_include_another(self):
        self.refused({"services/auth/a.cpp": '\n#include "services/cache/b.hpp"\n',
                      "services/cache/b.hpp": ""},
                     "services/auth/a.cpp:2:", "may not include services/cache")

    def test_a_library_may_not_include_a_service(self):
        self.refused({"libs/pg/a.cpp": '#include "services/auth/b.hpp"\n', "services/auth/b.hpp": ""},
                     "libs/pg/a.cpp:1:", "may not include a service")

    def test_a_library_needs_a_link_edge(self):
        files = {"libs/rpc/a.cpp": '#include "libs/pg/b.hpp"\n', "libs/pg/b.hpp": "",
                 "libs/rpc/CMakeLists.txt": "raymesh_library(rpc SOURCES a.cpp DEPS raymesh::base)"}
        self.refused(files, "libs/rpc/a.cpp:1:", "no link edge to libs/pg")
        files["libs/rpc/CMakeLists.txt"] = "raymesh_library(rpc SOURCES a.cpp DEPS raymesh::pg)"
        self.accepted(files)

    def test_a_client_builds_on_the_protocol_and_nothing_on_a_client(self):
        header = {"clients/cpp/src/a.hpp": '#include "libs/raystream/b.hpp"\n#include <boost/asio.hpp>\n',
                  "libs/raystream/b.hpp": "", "libs/net/c.hpp": "", "services/auth/d.hpp": ""}
        self.accepted(header)
        self.accepted({**header, "clients/cpp/src/e.cpp": '#include "clients/cpp/src/a.hpp"\n'})
        for include in ("libs/net/c.hpp", "services/auth/d.hpp"):
            self.refused({**header, "clients/cpp/src/e.cpp": f'#include "{include}"\n'},
                         "clients/cpp/src/e.cpp:1:", "clients may include")
        for path in ("libs/raystream/b.hpp", "services/auth/d.hpp", "apps/raymesh/e.cpp"):
            self.refused({**header, path: '#include "clients/cpp/src/a.hpp"\n'}, f"{path}:1:", "clients are for applications")
        self.refused({"clients/cpp/src/e.cpp": "#include <sodium.h>\n"}, "clients/cpp/src/e.cpp:1:", "only")

    def test_base_includes_nobody(self):
        self.refused({"libs/base/a.hpp": '#include "libs/telemetry/b.hpp"\n', "libs/telemetry/b.hpp": ""},
                     "libs/base/a.hpp:1:", "includes nobody")

    def test_each_library_has_one_door(self):
        for include in ("pqxx/pqxx", "libpq-fe.h", "openssl/ssl.h", "caf/all.hpp", "grpcpp/grpcpp.h",
                        "nghttp2/nghttp2.h", "boost/asio.hpp", "hiredis/hiredis.h", "yaml-cpp/yaml.h", "sodium.h",
                        "zlib.h"):
            self.refused({"services/auth/rules.cpp": f"#include <{include}>\n"},
                         "services/auth/rules.cpp:1:", "only")

    def test_doors_are_open_where_they_should_be(self):
        self.accepted({
            "libs/pg/a.cpp": "#include <pqxx/pqxx>\n#include <boost/asio/post.hpp>\n",
            "services/auth/login_actor.cpp": "#include <caf/all.hpp>\n",
            "libs/rpc/http2_session.cpp": "#include <nghttp2/nghttp2.h>\n",
            "services/auth/app.cpp": "#include <caf/actor_system.hpp>\n",
            "services/auth/rules.cpp": "#include <simdjson.h>\n#include <string>\n",
        })

    def test_paths_are_written_from_the_root(self):
        self.refused({"libs/pg/a.cpp": '#include "b.hpp"\n', "libs/pg/b.hpp": ""},
                     "libs/pg/a.cpp:1:", "from the root")

    def test_a_missing_header_is_named(self):
        self.refused({"libs/pg/a.cpp": '#include "libs/pg/gone.hpp"\n'}, "a.cpp:1:", "libs/pg/gone.hpp")


if __name__ == "__main__":
    unittest.main()
