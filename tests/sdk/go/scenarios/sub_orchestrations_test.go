package scenarios

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"

	"longhaul.dev/tests/sdk/go/support"
)

// What the server makes of an empty child id: the parent's execution and the number of the call.
var derivedID = regexp.MustCompile(`^"([0-9a-f]{32}):([0-9a-f]{4})"$`)

func ownID(ctx *task.OrchestrationContext) (any, error) { return string(ctx.ID), nil }

func TestServerNamesChildrenThatHaveNoID(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"parent": func(ctx *task.OrchestrationContext) (any, error) {
			first, second := ctx.CallSubOrchestrator("child"), ctx.CallSubOrchestrator("child")
			var ids [2]string
			if err := first.Await(&ids[0]); err != nil {
				return nil, err
			}
			err := second.Await(&ids[1])
			return strings.Join(ids[:], " "), err
		},
		"child": ownID,
	}})
	ids := strings.Fields(strings.Trim(hub.Run("parent"), `"`))
	hub.Equal("number of children", len(ids), 2)
	var parts [2][]string
	for i, id := range ids {
		parts[i] = derivedID.FindStringSubmatch(`"` + id + `"`)
		hub.Equal("form of "+id, len(parts[i]), 3)
		hub.Equal("status of "+id, hub.State(api.InstanceID(id)).RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
		hub.Equal("number in "+id, parts[i][2], fmt.Sprintf("%04x", i))
	}
	hub.Equal("execution in both ids", parts[0][1], parts[1][1])
}

func TestChildHasTheIDItIsGiven(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"parent": func(ctx *task.OrchestrationContext) (any, error) {
			var id string
			err := ctx.CallSubOrchestrator("child", task.WithSubOrchestrationInstanceID("chosen")).Await(&id)
			return id, err
		},
		"child": ownID,
	}})
	hub.JSON("the child's own id", hub.Run("parent"), "chosen")
}

func TestNestedChildrenPassInputsDownAndResultsUp(t *testing.T) {
	const depth = 6
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{
		Orchestrators: orchestrators{"nest": func(ctx *task.OrchestrationContext) (any, error) {
			var left int
			if err := ctx.GetInput(&left); err != nil {
				return nil, err
			}
			if left == 0 {
				var result int
				err := ctx.CallActivity("double", task.WithActivityInput(1)).Await(&result)
				return result, err
			}
			var below int
			err := ctx.CallSubOrchestrator("nest", task.WithSubOrchestratorInput(left-1)).Await(&below)
			return below + 1, err
		}},
		Activities: activities{"double": double},
	})
	hub.JSON("sum over the levels", hub.Run("nest", api.WithInput(depth)), depth+2)
}

func TestFailureOfAChildReachesItsParent(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{
		"parent": func(ctx *task.OrchestrationContext) (any, error) {
			err := ctx.CallSubOrchestrator("child").Await(nil)
			return fmt.Sprint(err), nil
		},
		"child": func(*task.OrchestrationContext) (any, error) { return nil, errBoom },
	}})
	hub.JSON("what the parent saw", hub.Run("parent"), "task failed with an error: boom")
}

func TestChildIsRetried(t *testing.T) {
	for _, id := range []string{"", "the-same-each-time"} {
		t.Run("id="+id, func(t *testing.T) {
			hub := support.NewHub(t)
			var attempts atomic.Int32
			hub.Worker(support.Tasks{Orchestrators: orchestrators{
				"parent": func(ctx *task.OrchestrationContext) (any, error) {
					var result string
					err := ctx.CallSubOrchestrator("child", task.WithSubOrchestrationInstanceID(id),
						task.WithSubOrchestrationRetryPolicy(&task.RetryPolicy{
							MaxAttempts: 3, InitialRetryInterval: 10 * time.Millisecond,
						})).Await(&result)
					return result, err
				},
				"child": func(*task.OrchestrationContext) (any, error) {
					if attempts.Add(1) < 3 {
						return nil, errBoom
					}
					return "third time lucky", nil
				},
			}})
			hub.JSON("output", hub.Run("parent"), "third time lucky")
			hub.Equal("attempts", attempts.Load(), int32(3))
		})
	}
}
