package scenarios

import (
	"errors"
	"testing"

	"github.com/microsoft/durabletask-go/api"

	"longhaul.dev/tests/sdk/go/support"
)

// ended is a hub on which a parent, its child and its grandchild have completed.
func ended(t *testing.T) *support.Hub {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: family()})
	hub.Start("parent", api.WithInstanceID("parent"))
	hub.Reaches("grandchild", api.RUNTIME_STATUS_RUNNING)
	hub.Raise("grandchild", "word", "over")
	hub.JSON("output", hub.Completed("parent"), "over")
	return hub
}

func exists(hub *support.Hub, id api.InstanceID) bool { return hub.State(id) != nil }

func TestPurgeDeletesOneInstance(t *testing.T) {
	hub := ended(t)
	hub.Must(hub.Client.PurgeOrchestrationState(hub.Within(), "parent"))
	hub.Equal("the parent exists", exists(hub, "parent"), false)
	hub.Equal("the child exists", exists(hub, "child"), true)
	hub.Equal("the grandchild exists", exists(hub, "grandchild"), true)
}

func TestRecursivePurgeDeletesDescendants(t *testing.T) {
	hub := ended(t)
	hub.Must(hub.Client.PurgeOrchestrationState(hub.Within(), "parent", api.WithRecursivePurge(true)))
	for _, id := range []api.InstanceID{"parent", "child", "grandchild"} {
		hub.Equal(string(id)+" exists", exists(hub, id), false)
	}
}

// The SDK takes a count of zero to mean that there is no such instance.
func TestPurgeOfTheLiveAndTheMissingDeletesNothing(t *testing.T) {
	hub := support.NewHub(t)
	hub.Worker(support.Tasks{Orchestrators: orchestrators{"listener": collects("word", 1)}})
	id := hub.Start("listener")
	hub.Reaches(id, api.RUNTIME_STATUS_RUNNING)
	for _, id := range []api.InstanceID{id, "nobody"} {
		if err := hub.Client.PurgeOrchestrationState(hub.Within(), id); !errors.Is(err, api.ErrInstanceNotFound) {
			t.Fatalf("purge of %s: %v", id, err)
		}
	}
	hub.Raise(id, "word", "unharmed")
	hub.JSON("output", hub.Completed(id), []string{"unharmed"})
}

func TestPurgedIDCanBeUsedAgain(t *testing.T) {
	hub := over(t)
	hub.Must(hub.Client.PurgeOrchestrationState(hub.Within(), reused))
	hub.Must(again(hub, api.REUSE_ID_ACTION_ERROR))
	hub.JSON("output", hub.Completed(reused), "new")
}
