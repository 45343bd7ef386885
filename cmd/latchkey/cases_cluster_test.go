package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clusterCases names what holds each case of group J (many nodes, and what goes
// wrong among them): directories, and functions there that are tests, parts of one,
// or faults that histories inject. What no test can hold is said beside it.
var clusterCases = map[string][]string{
	"J01": {"cmd/latchkey.twoNodes", "cmd/latchkey.TestTortureHealthy", "replica.TestSimulation"},
	"J02": {"cmd/latchkey.TestLedger", "cmd/latchkey.slowHeader"}, // what overlaps may go either way: the checker's rule
	"J03": {"cmd/latchkey.rollsOfOneTeam", ".TestSuperseded", ".TestRollsAtOnce"},
	"J04": {"cmd/latchkey.changesOfOneTeam"},
	"J05": {"cmd/latchkey.killRoller", "cmd/latchkey.TestKilledWhileRolling"},
	"J06": {"cmd/latchkey.TestLedger", "cmd/latchkey.killDatabaseAt", "postgres.TestLostAnswer"}, // resolve asks a node, as the console does
	"J07": {"cmd/latchkey.killDatabaseAt", "cmd/latchkey.databaseDown", "postgres.TestKilledServer"},
	"J08": {"cmd/latchkey.partition", "cmd/latchkey.flap", "cmd/latchkey.passing", "cmd/latchkey.delay", "cmd/latchkey.TestBounds"},
	"J09": {"cmd/latchkey.stopNode"},
	"J10": {"cmd/latchkey.stopNode", "cmd/latchkey.stopRoller", "replica.TestSimulation"}, // the fencing header: docs/protocol.md
	"J11": {"cmd/latchkey.starve", "cmd/latchkey.crowd", "cmd/latchkey.stopNode"},         // a stop of the garbage collector is a stop
	"J12": {"replica.TestSystemClock", "replica.TestLeaseIsGood", "replica.TestSimulation"},
	"J13": {"cmd/latchkey.stepClock", "replica.TestSetBack", "replica.TestSimulation"}, // no rule goes by the database's clock
	"J14": {"cmd/latchkey.delay", "replica.TestModelNeedsEveryRule"},
	"J15": {"cmd/latchkey.startSlowly", "cmd/latchkey.killNode", "replica.TestJoinTriesAgain"},
	"J16": {"cmd/latchkey.oneName", "replica.TestFormerSelf", "replica.TestNamesake", "replica.TestReapOnce"},
	"J17": {"postgres.TestPgBouncer", "postgres.TestPooler", "replica.TestSimulation"}, // without hints: one of its faults
	"J18": {"cmd/latchkey.TestPromotion", "cmd/latchkey.TestTorturePromotions"},
	"J19": {"cmd/latchkey.otherHistory", "cmd/latchkey.loseOne"},
	"J20": {"postgres.TestCancelledCommit", "postgres.TestUnconfirmedCommits"},
	"J21": {"postgres.TestServersThatAreRefused", "postgres.TestLaggingStandby"},
	"J22": {"postgres.TestLostRegistration", "postgres.TestTimelineIsMarked", "replica.TestModelHolds"},
	"J23": {"cmd/latchkey.TestDatabaseDiskFull", "sqlite.TestDiskFull", "sqlite.TestDurability", "postgres.TestRequirements"}, // not: EIO of fsync, writes that were not fsynced
	"J24": {"sqlite.TestKilled", "cmd/latchkey.TestKilledWhileRolling", "sqlite.TestDurability", "cmd/latchkey.refusedNodes"}, // not: a -wal that somebody removes; NFS (docs/cluster.md wants a local disk)
	"J25": {"cmd/latchkey.TestVerifyTime"},
	"J26": {"cmd/latchkey.anotherProtocol", "postgres.TestAnotherProtocol", "postgres.TestNewerSchema", "postgres.TestUpgradeWaitsForNobody"},
	"J27": {"cmd/latchkey.anotherHistory", "cmd/latchkey.startedInAlarm", "replica.TestLostChange"},
	"J28": {"cmd/latchkey.slowStream", "cmd/latchkey.slowHeader", "cmd/latchkey.slowHeaderCutOff"}, // a cache of somebody else's is out of reach
	"J29": {"cmd/latchkey.embeddedDoor"},
	"J30": {".TestNoStaleVerdict", "cmd/latchkey.TestHistory", "replica.TestSimulation"},
	"J31": {"cmd/latchkey.changesOfOneTeam", "cmd/latchkey.TestLedger"}, // wrong refusals
}

// TestClusterCases holds that each case is there, and that what is named for it
// exists and is run: a test is by itself, any other function if somebody names it.
func TestClusterCases(t *testing.T) {
	packages := map[string]map[string]int{}
	for i := range len(clusterCases) {
		id := fmt.Sprintf("J%02d", i+1)
		if len(clusterCases[id]) == 0 {
			t.Errorf("nothing is named for %s", id)
		}
		for _, name := range clusterCases[id] {
			dir, function, _ := strings.Cut(name, ".")
			if packages[dir] == nil {
				packages[dir] = testFunctions(t, filepath.Join("..", "..", dir))
			}
			if uses, there := packages[dir][function]; !there || uses == 0 {
				t.Errorf("%s: %s is not there, or nobody runs it", id, name)
			}
		}
	}
	if len(clusterCases) != 31 {
		t.Errorf("%d cases, must be 31", len(clusterCases))
	}
	for _, name := range []string{"TestThatIsNotThere", "flaps"} {
		if _, there := packages["cmd/latchkey"][name]; there {
			t.Errorf("%s is found, and is nowhere", name)
		}
	}
}

// testFunctions counts how often each function of a directory's tests is named
// beside its declaration; a test is named by the go command.
func testFunctions(t *testing.T, dir string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	named := make(map[string]int)
	var functions []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, is := d.(*ast.FuncDecl); is {
				functions = append(functions, f.Name.Name)
				if f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
					named[f.Name.Name]++
				}
				named[f.Name.Name]-- // the declaration is an identifier, too
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if is, ok := n.(*ast.Ident); ok {
				named[is.Name]++
			}
			return true
		})
	}
	for name := range named {
		if !slices.Contains(functions, name) {
			delete(named, name)
		}
	}
	return named
}
